from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lasmlx.data.errors import DataError


@dataclass(frozen=True)
class FileBytes:
    """The bytes `[start, stop)` of a file, left on the disk until `read`.

    Slicing is lazy. Nothing stays open or mapped between reads, so memory is constant whatever the size of the file,
    and a folder of any number of files needs no file handles.
    """

    path: Path
    start: int  # bytes
    stop: int  # bytes

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, span: slice) -> "FileBytes":
        start, stop, _ = span.indices(len(self))
        return FileBytes(self.path, self.start + start, self.start + max(start, stop))

    def read(self) -> npt.NDArray[np.uint8]:
        """Returns: the bytes, uint8 `(len(self),)`. Raises: DataError if the file is gone or has become shorter."""
        try:
            data = np.fromfile(self.path, dtype=np.uint8, count=len(self), offset=self.start)
        except OSError as error:
            raise DataError(f"{self.path} can no longer be read ({error.strerror}); put the file back.") from error
        if data.size < len(self):
            raise DataError(
                f"{self.path} ends at byte {self.start + data.size}, expected at least {self.stop}: "
                "it became shorter while in use; put the file back."
            )
        return data
