"""The words of a folder of texts, one task a file: `words.py FOLDER [HOW_MANY]`."""

import re
import sys
from collections import Counter
from pathlib import Path

from nws.sleigh import Sleigh, SleighTaskException


def count_words(file: Path) -> Counter[str]:
    """How often each word stands in a file. A word is what is between other things than letters a to z."""
    return Counter(word.decode() for word in re.findall(rb"[a-z]+", file.read_bytes().lower()))


def texts(folder: Path) -> list[Path]:
    """The texts in a folder and in those within it, in order."""
    return sorted(path for path in folder.rglob("*") if path.suffix in (".txt", ".md") and not path.is_dir())


def main(folder: str, how_many: str = "10") -> None:
    """Count, add up and tell."""
    files = texts(Path(folder))
    counts: Counter[str] = Counter()
    unread = []

    # What comes is added at once: the words of all files are never here at a time.
    def add(results: list[Counter[str] | SleighTaskException], indexes: list[int]) -> None:
        for words, index in zip(results, indexes, strict=True):
            if isinstance(words, SleighTaskException):
                unread.append(files[index])
            else:
                counts.update(words)

    with Sleigh(workerCount="auto") as sleigh:
        sleigh.eachElem(count_words, files, accumulator=add)

    print(f"{counts.total()} words, {len(counts)} different ones, in {len(files) - len(unread)} files")
    for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[: int(how_many)]:
        print(f"{count:8} {word}")
    for file in sorted(unread):
        print(f"cannot be read: {file}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("expected a folder: words.py FOLDER [HOW_MANY]")
    main(*sys.argv[1:])
