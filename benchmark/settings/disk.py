"""Settings of the disks of local hosts."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from benchmark.host_layout import VOLATILE_DISK
from benchmark.settings.base import SettingsModel
from benchmark.settings.sizes import Bandwidth, Size, format_bandwidth, format_size

DEFAULT_DISK_BYTES = 20 * 10**9
_LEAST_DISK_BYTES, _MOST_DISK_BYTES = 16 * 10**6, 16 * 10**12
_LEAST_BYTES_PER_S = 10**6


class Disk(SettingsModel):
    """The disk of each host of the local provider, on which `working_dir` is."""

    durable: bool = True
    """Whether `working_dir` is a file system of its own, in an image on this machine's disk, so that fsync reaches the
    disk. If `false`, fsync returns at once and a database looks faster than it is."""
    size: Size = Field(default=DEFAULT_DISK_BYTES, json_schema_extra={"default": format_size(DEFAULT_DISK_BYTES)})
    """Size of the disk, such as `500MB`. Only what is written takes space on this machine."""
    bandwidth: Bandwidth | None = None
    """Limit of what each host reads, and of what it writes, such as `200MB/s`; unlimited if not set."""

    @field_validator("size")
    @classmethod
    def _possible(cls, value: int) -> int:
        if not _LEAST_DISK_BYTES <= value <= _MOST_DISK_BYTES:
            limits = f"{format_size(_LEAST_DISK_BYTES)} to {format_size(_MOST_DISK_BYTES)}"
            raise ValueError(f"found {format_size(value)}, expected {limits}")
        return value

    @field_validator("bandwidth")
    @classmethod
    def _usable(cls, value: int | None) -> int | None:
        if value is not None and value < _LEAST_BYTES_PER_S:
            least = format_bandwidth(_LEAST_BYTES_PER_S)
            raise ValueError(f"found {format_bandwidth(value)}, expected at least {least}")
        return value

    @model_validator(mode="after")
    def _limits_a_disk(self) -> Disk:
        if not self.durable and (self.bandwidth is not None or self.size != DEFAULT_DISK_BYTES):
            raise ValueError("`size` and `bandwidth` need `durable: true`; remove them, or `durable: false`")
        return self

    def describe(self, working_dir: str) -> str:
        """Describe the disk in one line; hosts whose line is another one have another disk."""
        if not self.durable:
            return VOLATILE_DISK
        limit = f", {format_bandwidth(self.bandwidth)}" if self.bandwidth else ""
        return f"{format_size(self.size)} at {working_dir}{limit}"
