"""Kill two concurrent builders of a pool repeatedly, then let two of them finish.

kill_builders.py SONGS FOLDER N prints how many builders were killed before they had finished.
"""

import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

from auralflow_pl.data.pool import Pool
from auralflow_pl.data.sources.stem_folder import StemFolder
from support import fork

STEMS = ("vocals", "drums", "bass", "other")


def builder(pool, tracks):
    """Build the pool in a fork of this process, which needs no imports."""
    child = fork()
    if child:
        return child
    code = 1
    try:
        pool.build(tracks)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(child):
    """Wait for a builder; return its exit code, negative if it was killed."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(songs, folder, rounds):
    """Kill both builders soon after one of them has begun to write, `rounds` times."""
    tracks = StemFolder(songs, STEMS).tracks("train")
    fresh = Pool(folder / "fresh", 22050)
    assert ended(builder(fresh, tracks)) == 0
    moments = random.Random(0)
    outcomes = Counter()
    for number in range(rounds):
        pool = Pool(folder / f"pool{number}", 22050)
        pair = [builder(pool, tracks) for _ in range(2)]
        deadline = time.monotonic() + 60
        while not any(pool.folder.glob("*.part")) and not any(pool.folder.glob("*.npy")):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.05))
        for child in pair:
            os.kill(child, signal.SIGKILL)
        outcomes.update(map(ended, pair))
        assert [ended(child) for child in [builder(pool, tracks) for _ in range(2)]] == [0, 0]
        assert not list(pool.folder.glob("*.part"))
        for track in tracks:
            assert pool.path(track).read_bytes() == fresh.path(track).read_bytes()
        shutil.rmtree(pool.folder)
    print(outcomes[-signal.SIGKILL])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
