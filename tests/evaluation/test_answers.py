from __future__ import annotations

import json
import unicodedata

import numpy as np
import pytest
import soundfile

from tests.conftest import RATE, SPEAKERS, voice
from tests.evaluation.conftest import PitchModel
from voxedge.data.clips import Clip
from voxedge.data.manifest import read_manifest
from voxedge.errors import CorpusError, NonFiniteOutput
from voxedge.evaluation.answers import Evaluation, ask
from voxedge.evaluation.conditions import CLEAN, CONDITIONS


def test_every_clip_is_answered_under_every_condition(evaluation):
    assert evaluation.conditions == (CLEAN, "gain-20", "cut0.5")
    assert len(evaluation.known) == 12
    for record in evaluation.known:
        assert tuple(record.answers) == evaluation.conditions
        clean = record.answers[CLEAN]
        assert clean.rank == [name for name, _ in clean.predictions].index(record.speaker)
        assert clean.windows == 2
        assert record.answers["cut0.5"].windows == 1
        assert sum(p for _, p in clean.predictions) == pytest.approx(1, abs=1e-5)


def test_unknown_speakers_are_separate(evaluation):
    assert {record.speaker for record in evaluation.unknown} == {"dan"}
    assert all(tuple(record.answers) == (CLEAN,) for record in evaluation.unknown)


def test_bad_clips_are_reported_and_left_out(evaluation):
    assert [(p["path"], p["code"]) for p in evaluation.problems] == [
        ("ada/broken.wav", "unreadable"),
        ("ben/silent.wav", "too_short"),
    ]


def test_workers_and_batches_change_no_answer(clips, evaluation):
    model = PitchModel(("ada", "ben", "cleo"))
    calls = []
    again = ask(
        model,
        clips,
        [CONDITIONS["gain-20"], CONDITIONS["cut0.5"]],
        workers=3,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert again.records == evaluation.records
    assert calls == [(n, 18) for n in range(1, 19)]
    assert model.batches == int(np.ceil((12 * 5 + 4 * 2) / 8))


def test_a_written_evaluation_is_read_back(evaluation, tmp_path):
    evaluation.write(tmp_path / "evaluation.json", {"figure": 1})
    assert Evaluation.read(tmp_path / "evaluation.json") == evaluation
    value = json.loads((tmp_path / "evaluation.json").read_text())
    assert value["measures"] == {"figure": 1}
    (first, *_) = value["clips"]
    assert (first["path"], first["speaker"]) == ("ada/00.wav", "ada")
    answer = first["answers"][CLEAN]
    assert answer["correct"] == (answer["predictions"][0][0] == "ada")
    assert answer["probability"] == answer["predictions"][0][1]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"schema": 9}', '{"schema": 1, "clips": 3}'])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(CorpusError, match=r"x\.json"):
        Evaluation.read(tmp_path / "x.json")


def test_a_clip_degraded_to_silence_is_a_wrong_answer_and_a_silent_clip_a_problem(tmp_path):
    (tmp_path / "ada").mkdir()
    soundfile.write(tmp_path / "ada" / "faint.wav", voice(110, 1, 1) * 0.005, RATE)
    soundfile.write(tmp_path / "ada" / "none.wav", np.zeros(RATE), RATE)
    evaluation = ask(PitchModel(), read_manifest(tmp_path).clips, [CONDITIONS["gain-20"]])
    (record,) = evaluation.records
    answer = record.answers["gain-20"]
    assert (answer.windows, answer.predictions) == (0, ())
    assert answer.rank == 5 > len(SPEAKERS)  # not even among the best five of four
    assert [problem["code"] for problem in evaluation.problems] == ["silent"]


def test_a_tie_is_wrong_and_nan_is_an_error(clips):
    assert all(r.answers[CLEAN].rank == 3 for r in ask(PitchModel(sharpness=0), clips).known)
    with pytest.raises(NonFiniteOutput, match="ada/00"):
        ask(PitchModel(sharpness=np.nan), clips)


def test_a_label_in_another_form_of_unicode_is_the_same_speaker(corpus):
    composed, decomposed = (unicodedata.normalize(form, "Zoë") for form in ("NFC", "NFD"))

    class FromMacOS(PitchModel):  # a model trained before labels were composed
        def score(self, clips):
            return PitchModel().score(clips)

    model = FromMacOS((decomposed, "ben", "cleo", "dan"))
    path = corpus / "ada" / "00.wav"
    (as_ada,) = ask(PitchModel(), [Clip(path, "00.wav", "ada")]).records
    for speaker in (composed, decomposed):
        (record,) = ask(model, [Clip(path, "00.wav", speaker)]).records
        assert record.known
        assert record.answers[CLEAN].rank == as_ada.answers[CLEAN].rank
    assert not ask(model, [Clip(path, "00.wav", "Zoe")]).known


def test_no_usable_clip_is_an_error(tmp_path):
    with pytest.raises(CorpusError, match="no such file"):
        ask(PitchModel(), [Clip(tmp_path / "a.wav", "a.wav", "ada")])
