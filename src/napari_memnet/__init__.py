"""napari plugin for image restoration with MemNet."""

from importlib.util import find_spec

from memnet_core._util.environment import prepare_process
from memnet_core._version import __version__

__all__ = ["__version__"]

_MISSING = [
    name
    for name in ("napari", "magicgui", "psygnal", "qtpy")
    if find_spec(name) is None
]
if _MISSING:
    raise ImportError(
        f"The napari plugin needs {', '.join(_MISSING)}, which the command does not; "
        'install them with pip install "napari-memnet[napari]", or with [all] where '
        "no Qt is installed."
    )

# napari itself loads no PyTorch, and this package only in a worker. Where another
# plugin came first, its threads keep their policy, and it only costs time.
prepare_process()
