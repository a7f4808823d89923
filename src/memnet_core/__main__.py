"""Where the command begins: ``memnet`` and ``python -m memnet_core``."""

import sys

__all__ = ["start"]


def start() -> None:
    """Run the command; Ctrl-C ends in one line also while modules are imported."""
    try:
        from memnet_core.cli import main

        main(prog_name="memnet")
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    start()
