"""A `docker` for tests: takes the command lines of TAO as the containers do, and leaves what they leave.

Standard library only. It records each call, maps mounts to folders of this machine, refuses flags that the
task does not have, writes status.json, and ends with exit code 0 even when the task fails, as TAO does. The
environment says what goes wrong in which task: PRETENDED_DOCKER_FAIL, _HANG and _FORGET (its output), and how
long `docker stop` takes: _STOP_SECONDS.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

RECORD = Path(os.environ["PRETENDED_DOCKER_RECORD"])
FLAGS = json.loads(
    (Path(__file__).parents[2] / "training" / "palletjack_training" / "tao" / "cli_flags.json").read_text()
)
RUN_SWITCHES = {"--rm"}
RUN_VALUES = {"--name", "--gpus", "--user", "--env", "--ulimit", "-v", "--shm-size"}
IMAGES = {
    "nvcr.io/nvidia/tao/tao-toolkit:5.0.0-tf1.15.5": "model",
    "nvcr.io/nvidia/tao/tao-toolkit:6.26.3-deploy": "deploy",
}


def main(words):
    with (RECORD / "calls.jsonl").open("a") as file:
        file.write(json.dumps(words) + "\n")
    if words[0] == "stop":
        time.sleep(float(os.environ.get("PRETENDED_DOCKER_STOP_SECONDS", "0")))
        pid = int((RECORD / f"{words[-1]}.pid").read_text())
        (RECORD / f"{words[-1]}.stopped").touch()
        os.kill(pid, signal.SIGKILL)
        return 0
    if words[0] != "run":
        return refuse(f"unknown command {words[0]}")
    given, rest = run_options(words[1:])
    image, program, task, *flags = rest
    (RECORD / f"{given['--name'][0]}.pid").write_text(str(os.getpid()))
    if image not in IMAGES or program != "detectnet_v2":
        return refuse(f"no image {image} or program {program}")
    values = task_flags(IMAGES[image], task, flags)
    mounts = dict(reversed(volume.removesuffix(":ro").rsplit(":", 1)) for volume in given["-v"])
    return work(task, values, mounts)


def run_options(words):
    given = {}
    while words[0].startswith("-"):
        name, _, value = words.pop(0).partition("=")
        if name in RUN_SWITCHES:
            continue
        if name not in RUN_VALUES:
            sys.exit(refuse(f"docker run: unknown flag {name}"))
        given.setdefault(name, []).append(value or words.pop(0))
    return given, words


def task_flags(image, task, words):
    if task not in FLAGS[image]:
        sys.exit(refuse(f"{image} has no task {task}"))
    known = set(FLAGS[image][task]) | set(FLAGS["wrapper"][image])
    values = {}
    while words:
        flag = words.pop(0)
        if flag not in known:
            sys.exit(refuse(f"{task}: unrecognized arguments: {flag}"))
        values[flag] = True if flag in FLAGS["switches"] else words.pop(0)
    for names in [*FLAGS["required"].get(task, ()), *(FLAGS["required_deploy"] if image == "deploy" else ())]:
        if not set(names) & set(values):
            sys.exit(refuse(f"{task}: {names[0]} is required"))
    return values


def work(task, values, mounts):
    def here(path):
        for inside, outside in mounts.items():
            if path == inside or path.startswith(inside + "/"):
                return Path(outside + path[len(inside) :])
        sys.exit(refuse(f"{path} is not mounted"))

    results = here(values.get("-r") or values["--results_dir"])
    results.mkdir(parents=True, exist_ok=True)
    status = results / "status.json"
    say(status, "STARTED", f"Starting {task}")
    for flag in ("-m", "-e", "-d"):
        if flag in values and not here(values[flag]).is_file():
            say(status, "FAILURE", f"{values[flag]} does not exist")
            return 0
    if os.environ.get("PRETENDED_DOCKER_HANG") == task:
        (results / "checkpoint").write_text("half-way")
        say(status, "RUNNING", "epoch", epoch=1, max_epoch=80)
        time.sleep(60)
    if os.environ.get("PRETENDED_DOCKER_FAIL") == task:
        say(status, "FAILURE", "mAP went to the dogs")
        return 0
    # An error that is only logged is written as FAILURE as well, and the task goes on.
    say(status, "FAILURE", "only logged")
    if task == "train":
        for epoch in (1, 2):
            say(status, "RUNNING", "training", epoch=epoch, max_epoch=2)
        leave(results / "weights" / f"{values.get('-n', 'model')}.hdf5")
    for flag in ("-o", "--cal_json_file", "--engine_file", "--cal_cache_file"):
        is_output = flag in values and not (flag == "--cal_json_file" and task == "gen_trt_engine")
        if is_output and os.environ.get("PRETENDED_DOCKER_FORGET") != task:
            target = here(values[flag])
            if target.exists():
                say(status, "FAILURE", f"{target.name} already exists")
                return 0
            leave(target)
    say(status, "SUCCESS", f"{task} finished successfully.")
    return 0


def leave(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("made")


def say(path, status, message, **further):
    with path.open("a") as file:
        file.write(json.dumps({"status": status, "message": message, **further}) + "\n")


def refuse(message):
    print(message, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
