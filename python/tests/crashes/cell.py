"""The program of one cell of the crash matrix: a sleigh with six tasks, of which the third stops in a stage."""

import json
import os
import sys

from gate import AndBack, Through, hold, watch_sending

from nws.sleigh import Sleigh, SleighException, SleighTaskException

STAGE, FOLDER = os.environ["NWS_TEST_STAGE"], os.environ["NWS_TEST_FOLDER"]
SENT_BYTES = 48 << 20
TASKS = 6
SPECIAL = 2


def work(x, fixed):
    if x != SPECIAL:
        return x * x
    if STAGE == "running":
        hold(FOLDER, "running")
    if STAGE == "pickling":
        return AndBack(FOLDER, "pickling", x * x)
    if STAGE == "sending":
        watch_sending(FOLDER)
        hold(FOLDER, "about to send")
        return bytes(SENT_BYTES)
    return x * x


def describe(result):
    if isinstance(result, SleighTaskException):
        return {
            "type": result.type,
            "signal": result.signal,
            "exitCode": result.exitCode,
            "outOfMemory": result.outOfMemory,
            "deaths": result.deaths,
            "text": str(result),
        }
    return len(result) if isinstance(result, bytes) else result


def say(**words):
    print(json.dumps(words), flush=True)


def main():
    tasks = list(range(TASKS))
    if STAGE == "receiving":
        tasks[SPECIAL] = Through(FOLDER, "receiving", SPECIAL)
    fixed = Through(FOLDER, "loading", None) if STAGE == "loading" else None
    try:
        with Sleigh(workerCount=1, retries=0) as s:
            if STAGE == "idle":
                with open(f"{FOLDER}/idle.new", "w") as file:
                    json.dump({"worker": s.eachWorker(os.getpid)[0]}, file)
                os.rename(f"{FOLDER}/idle.new", f"{FOLDER}/idle")
                with open(f"{FOLDER}/way-idle") as way:
                    way.read()
            say(results=[describe(result) for result in s.eachElem(work, [tasks], [fixed], chunkSize=1)])
    except SleighException as error:
        say(raised=type(error).__name__, text=str(error))


if __name__ == "__main__":
    sys.exit(main())
