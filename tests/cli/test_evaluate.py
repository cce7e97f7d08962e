"""``voxedge evaluate`` and ``voxedge compare`` as a user types them."""

from __future__ import annotations

import json
import shutil
import sys

import pytest

from tests.conftest import SPEAKERS, write_corpus
from tests.folders import forbid
from tests.inference.test_open_set import resealed
from voxedge.audio import formats
from voxedge.cli import app
from voxedge.errors import CorpusError, UsageError
from voxedge.inference.open_set import OpenSet
from voxedge.train.run import find_run


@pytest.fixture
def type_in(workshop, monkeypatch, capsys):
    """Run a command in the workshop; what it prints on stdout and stderr."""
    monkeypatch.chdir(workshop)
    monkeypatch.delenv("VOXEDGE_MODEL", raising=False)

    def run(*words):
        capsys.readouterr()
        app.run(["--debug", *map(str, words)])
        return capsys.readouterr()

    return run


def test_a_run_and_its_file_have_the_accuracy_that_training_reported(type_in, workshop, tmp_path):
    flags = ["--stress", "cut0.5,mp332", "--json", "--workers", "1"]
    network = json.loads(type_in("evaluate", *flags, "--out", tmp_path / "net").out)
    file = json.loads(
        type_in("evaluate", "runs", "--model", "model.onnx", *flags, "--out", tmp_path / "file").out
    )
    trained = find_run(workshop / "runs").metrics()["test"]
    clean = network["conditions"]["clean"]
    assert clean["clips"] == trained["clips"]
    assert clean["top1"] == trained["top1"]
    assert clean["calibration_error"] == pytest.approx(trained["calibration_error"], abs=1e-3)
    assert list(network["conditions"]) == ["clean", "cut0.5", "mp332"]
    for name, row in network["conditions"].items():
        assert file["conditions"][name]["top1"] == row["top1"]
    assert file["subject"]["kind"] == "file"
    compared = type_in("compare", f"net={tmp_path / 'net'}", tmp_path / "file", "--json").out
    rows = json.loads(compared)["conditions"]["clean"]
    assert rows[1]["difference"]["top1"]["verdict"] == "no difference"
    table = type_in("compare", tmp_path / "net", tmp_path / "file", "--markdown").out
    assert table.startswith("| top-1 % | net | file |")
    for name in ("one.onnx", "two.onnx"):  # neither takes the other's place
        shutil.copy(workshop / "model.onnx", tmp_path / name)
        type_in("evaluate", "runs", "--model", tmp_path / name, "--stress", "none")
    assert "no difference" in type_in("compare", tmp_path / "one.onnx", tmp_path / "two.onnx").out
    shown = type_in("compare", tmp_path / "net", tmp_path / "file").out
    assert "top-1 against the first" in shown
    assert (tmp_path / "net" / "evaluation.html").read_text().startswith("<!doctype html>")


def test_what_a_labelled_folder_holds_beside_readable_clips(
    type_in, workshop, tmp_path, monkeypatch
):
    data = tmp_path / "other"
    for name in SPEAKERS:
        (data / name).mkdir(parents=True)
        shutil.copy(workshop / f"{name}.wav", data / name)
        (data / name / f"._{name}.wav").write_bytes(b"x")
        (data / name / "Thumbs.db").write_bytes(b"x")
    (data / "ada" / "phone.m4a").write_bytes(b"x")
    monkeypatch.setattr(formats, "has_av", lambda: False)
    forbid(data / "dan", monkeypatch)
    unseen = write_corpus(tmp_path / "unseen", clips=2, speakers={"eve": 90.0, "fay": 300.0})
    (unseen / "gus").mkdir()
    flags = ["--stress", "none", "--out", tmp_path / "out"]
    printed = type_in("evaluate", "--data", data, *flags, "--unseen", unseen)
    assert "ada/phone.m4a: left out: decoded by PyAV, which is not" in printed.err
    assert "dan: left out: a folder that may not be read" in printed.err
    assert "gus: left out: an empty folder" in printed.err
    written = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert [problem["path"] for problem in written["problems"]] == ["ada/phone.m4a", "dan"]
    assert len(written["clips"]) == 3


def test_strangers_by_the_thresholds_of_a_file_and_by_their_own(type_in, workshop, tmp_path):
    voices = {"eve": 90.0, "fay": 330.0}
    unseen = write_corpus(tmp_path / "unseen", clips=30, speakers=voices, seconds=0.6)
    (unseen / "eve" / "00.wav").write_bytes(b"x")
    weights = OpenSet((0.0, 0.0, 0.0), 1.0, {0.05: 2.0, 0.01: -9.0}, 300, "speakers")
    model = resealed(workshop / "model.onnx", tmp_path / "model.onnx", weights)
    flags = ["--stress", "cut0.5,gain-20", "--out", tmp_path / "out", "--unseen", unseen]
    printed = type_in("evaluate", "runs", "--model", model, *flags)
    assert "59 clips of 2 strangers, 5 % of whom may be named" in printed.out
    assert "eve/00.wav: left out" in printed.err
    (row,) = (line for line in printed.out.splitlines() if "0.0 % [0.0, 0.0]  0.0 %" in line
              and line.split()[0] == "gain-20")  # fmt: skip
    assert "too few clips" in row  # 5 % of 59 are not three
    written = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    found = written["measures"]["open_set"]
    assert list(found["conditions"]) == ["clean", "cut0.5", "gain-20"]
    clean = found["conditions"]["clean"]
    assert list(clean["by_file"]) == ["0.1", "0.05", "0.01"]
    assert clean["by_file"]["0.05"]["far"]["value"] == 0  # all log-odds are 1
    assert clean["by_file"]["0.01"]["far"]["value"] == 1
    assert clean["by_file"]["0.1"]["threshold"] == 2.0  # of the largest share that is not larger
    assert len(written["unseen"]) == 59
    assert {tuple(each["answers"]) for each in written["unseen"]} == {tuple(found["conditions"])}
    page = (tmp_path / "out" / "evaluation.html").read_text()
    assert page.count("<polyline") == 6
    for clip in (unseen / "eve").glob("*.wav"):
        clip.unlink()
    shutil.copy(unseen / "fay" / "01.wav", unseen / "eve" / "one.wav")
    alone = type_in("evaluate", "runs", "--model", model, *flags)
    assert "no EER of embeddings" in alone.err
    assert "31 clips of 2 strangers" in alone.out
    (unseen / "eve").rename(unseen / "ada")
    with pytest.raises(CorpusError, match="trained on ada"):
        type_in("evaluate", "runs", "--model", model, *flags)
    (unseen / "ada").rename(unseen / "eve")
    by_network = type_in("evaluate", "runs", *flags, "--json")
    assert json.loads(by_network.out)["open_set"]["score"] == "best_logit"


def test_any_labelled_folder_with_a_model_file(type_in, workshop, tmp_path):
    data = tmp_path / "other"
    for name in SPEAKERS:
        (data / name).mkdir(parents=True)
        shutil.copy(workshop / f"{name}.wav", data / name)
    (data / "zoe").mkdir()
    shutil.copy(workshop / "ada.wav", data / "zoe" / "zoe.wav")
    (data / "ada" / "bad.wav").write_bytes(b"nothing")
    (tmp_path / "s.csv").write_text("speaker,kind\nada,high\nben,low\ncleo,low\ndan,high\n")
    out = ["--out", tmp_path / "out", "--groups", tmp_path / "s.csv"]
    printed = type_in("evaluate", "--data", data, "--stress", "noise10,gain-20", *out)
    assert "model.onnx on" in printed.out
    assert "4 clips of 4 speakers" in printed.out
    assert "gain-20" in printed.out
    assert "by kind" in printed.out
    assert "left out for want of --noise or --rooms: noise10" in printed.err
    assert "ada/bad.wav: left out" in printed.err
    assert "1 clips of 1 speakers that the model does not know" in printed.err
    page = (tmp_path / "out" / "evaluation.html").read_text()
    assert "Speakers it does not know" in page


def test_a_device_without_jinja2_gets_no_page(type_in, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    arguments = ["--model", "model.onnx", "--stress", "none", "--out", tmp_path / "out"]
    printed = type_in("evaluate", "runs", *arguments)
    assert "no evaluation.html is written" in printed.err
    assert "top-1" in printed.out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["evaluation.json"]


def test_mistakes_are_reported_before_anything_is_measured(type_in, tmp_path):
    with pytest.raises(UsageError, match="no condition 'fog'"):
        type_in("evaluate", "--stress", "fog")
    with pytest.raises(CorpusError, match="no corpus"):
        type_in("evaluate", "--data", tmp_path / "nowhere")
    with pytest.raises(CorpusError, match="holds no evaluation"):
        type_in("compare", tmp_path, tmp_path)
    with pytest.raises(UsageError, match="not both"):
        type_in("compare", "a", "b", "--json", "--markdown")


def test_trials_of_strangers_are_verified(type_in, workshop, tmp_path):
    write_corpus(tmp_path / "data", clips=3, speakers={"eve": 130.0, "fay": 240.0})
    listed = tmp_path / "trials.txt"
    pairs = ("1 eve/00.wav eve/01.wav", "1 fay/00.wav fay/01.wav", "0 eve/00.wav fay/02.wav")
    listed.write_text("\n".join(pairs))
    flags = ["--trials", listed, "--data", tmp_path / "data", "--model", "model.onnx"]
    shown = json.loads(type_in("evaluate", *flags, "--out", tmp_path, "--json").out)
    written = json.loads((tmp_path / "trials.json").read_text())
    assert (shown["trials"], shown["clips"], shown["list"]) == (3, 5, "trials.txt")
    same, other, strange = written.pop("scores")
    assert min(same, other) > strange
    assert written == shown
    assert "EER" in type_in("evaluate", *flags, "--out", tmp_path).out
    with pytest.raises(UsageError, match="--trials are verified as they are"):
        type_in("evaluate", *flags, "--stress", "cut1")
    with pytest.raises(UsageError, match="--trials are pairs of clips of --data"):
        type_in("evaluate", "--trials", listed)
    listed.write_text("1 ada/00.wav ada/01.wav\n0 ada/00.wav ben/00.wav\n")
    with pytest.raises(CorpusError, match="the model was trained on ada"):
        type_in(
            "evaluate", "--trials", listed, "--data", workshop / "data", "--model", "model.onnx"
        )
