/** The people who are enrolled, and the form that enrols more. */
import type { Client } from "../client";
import { PageError } from "../errors";
import { $, button, make, notice, save, say } from "./dom";
import * as store from "./store";

interface Chosen {
  clip: number;
  name: string;
}

export class PeopleView {
  private chosen: Chosen[] = [];

  constructor(
    private readonly engine: Client,
    private readonly digest: string,
    private readonly changed: (people: number) => void,
  ) {
    const on = (id: string, act: () => Promise<void>) =>
      $(id).addEventListener("click", () => void this.attempt(act));
    on("export", async () =>
      save("people.vxg", new Blob([await engine.exportPeople()], { type: "application/octet-stream" })),
    );
    on("forget", async () => {
      if (!confirm("Forget everybody who was enrolled, imported or removed here?")) return;
      await store.forget(digest);
      location.reload();
    });
    $("import").addEventListener("click", () => $("import-file").click());
    $<HTMLInputElement>("import-file").addEventListener("change", ({ target }) => {
      const input = target as HTMLInputElement;
      const [file] = input.files ?? [];
      if (file) void this.attempt(() => this.import(file));
      input.value = "";
    });
    $("enroll").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.attempt(() => this.enroll());
    });
  }

  /** Show the people as the engine has them. */
  async show(): Promise<void> {
    const { people, basis } = await this.engine.gallery();
    const rows = people.map(({ name, clips, speech }) => {
      const remove = button("Remove", "small", () => void this.attempt(() => this.remove(name)));
      remove.setAttribute("aria-label", `Remove ${name}`);
      const facts = `${clips} clip${clips === 1 ? "" : "s"}, ${speech.toFixed(1)} s of speech`;
      return make("li", "", make("span", "", make("strong", "", name), ` ${facts}`), remove);
    });
    $("people-list").replaceChildren(...rows);
    $("people-hint").textContent = hint(people.length, basis !== null);
    $<HTMLButtonElement>("export").disabled = !people.length;
    $<HTMLButtonElement>("forget").hidden = (await store.load(this.digest)) === null;
    this.changed(people.length);
  }

  /** Add a clip that was heard to those to be enrolled. */
  async choose(clip: number, name: string): Promise<void> {
    await this.attempt(async () => {
      const problem = await this.engine.problem(clip);
      if (problem) throw new PageError(`${name} cannot be enrolled. ${problem}`, "Record another clip.");
      if (!this.chosen.some((each) => each.clip === clip)) this.chosen.push({ clip, name });
      this.showChosen();
      $("enroll-name").focus();
    });
  }

  private showChosen(): void {
    const rows = this.chosen.map((each) => {
      const out = button("Leave out", "small", () => {
        this.chosen = this.chosen.filter((other) => other !== each);
        this.showChosen();
      });
      out.setAttribute("aria-label", `Leave out ${each.name}`);
      return make("li", "", each.name, out);
    });
    $("enroll-clips").replaceChildren(...rows);
    $("enroll").hidden = !rows.length;
  }

  private async enroll(): Promise<void> {
    const name = $<HTMLInputElement>("enroll-name");
    const label = name.value.trim();
    await this.engine.enroll(label, this.chosen.map((each) => each.clip));
    await this.keep();
    this.chosen = [];
    name.value = "";
    this.showChosen();
    say(`${label} is enrolled.`);
  }

  private async remove(name: string): Promise<void> {
    await this.engine.remove(name);
    await this.keep();
    say(`${name} is removed.`);
  }

  private async import(file: File): Promise<void> {
    const { people } = await this.engine.gallery();
    if (people.length && !confirm(`Replace the people enrolled here (${people.length})?`)) return;
    await this.engine.importPeople(new Uint8Array(await file.arrayBuffer()));
    await this.keep();
    say(`${file.name} is imported.`);
  }

  private async keep(): Promise<void> {
    await store.store(this.digest, await this.engine.exportPeople());
    await this.show();
  }

  private async attempt(act: () => Promise<void>): Promise<void> {
    notice(null);
    try {
      await act();
    } catch (error) {
      notice(error);
    }
  }
}

function hint(people: number, threshold: boolean): string {
  if (!people)
    return "Nobody yet. Record somebody or choose a clip, then use the answer for enrolment: three clips do.";
  const kept = "Their voices' embeddings are kept in this browser alone.";
  return threshold
    ? kept
    : `${kept} For this model file no threshold is known: nobody is named until twenty people are enrolled.`;
}
