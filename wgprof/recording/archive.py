"""What every ZIP of wgprof's is checked for before a byte of it is read: it may come from anybody."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from wgprof.errors import RecordingError
from wgprof.recording.untrusted import Damage

_ENCRYPTED = 1


def stored_members(archive: zipfile.ZipFile, size: int, most: int) -> dict[str, zipfile.ZipInfo]:
    """The members by name.  `size`: of the whole file; `most`: members.

    All are stored as they are and no larger together than the file, so reading them cannot take more than it.
    Raises Damage.
    """
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if len(infos) > most or len(set(names)) != len(names):
        raise Damage(f"{len(infos)} files in it")
    for info in infos:
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise Damage("a file in it is compressed, or its size is wrong")
        if info.flag_bits & _ENCRYPTED:
            raise Damage("a file in it is encrypted")
    if sum(info.file_size for info in infos) > size:
        raise Damage("its files are larger than itself")
    return dict(zip(names, infos, strict=True))


@contextlib.contextmanager
def one_sentence(path: Path | None) -> Iterator[None]:
    """Whatever goes wrong inside becomes one sentence about the file.

    pyarrow and zipfile raise almost any exception on damaged bytes, so all are caught; what went wrong
    stays attached as the cause.
    """
    name = str(path) if path is not None else "the recording"
    try:
        yield
    except Damage as error:
        _damaged(name, error.sentence, error)
    except RecordingError:
        raise
    except FileNotFoundError as error:
        raise RecordingError(f"{name} does not exist", "Check the path.") from error
    except (PermissionError, IsADirectoryError) as error:
        raise RecordingError(f"{name} could not be read: {error.strerror}", "Check the path and its owner.") from error
    except MemoryError as error:
        raise RecordingError(f"{name} does not fit into memory", "Read it on a larger machine.") from error
    except zipfile.BadZipFile as error:
        _damaged(name, "the ZIP file is cut off or a checksum in it is wrong", error)
    except Exception as error:
        _damaged(name, "it cannot be decoded", error)


def _damaged(name: str, why: str, error: BaseException) -> NoReturn:
    raise RecordingError(f"{name} is damaged: {why}", "Copy it again from where it came, or record again.") from error
