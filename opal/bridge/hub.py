"""Models in folders, or of the Hugging Face Hub: whether one is to be had, before it is loaded."""

from __future__ import annotations

import re
from pathlib import Path

_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_PATIENCE = 10.0  # seconds that the Hub has to say whether it is there


def only_here(model: str) -> bool:
    """Whether a model of the Hub must come from this disk, for the Hub cannot be reached.

    It costs one request, unless the model is a folder.

    Args:
        model: a folder, or the name of a model of the Hub.

    Raises:
        FileNotFoundError: it is neither, or the Hub cannot be reached and the disk has it not.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    if Path(model).is_dir():
        return False
    if not _NAME.fullmatch(model):
        raise FileNotFoundError(
            f"there is no folder {model!r}: name one that save_pretrained wrote, or a model of "
            "the Hub as owner/name."
        )
    away = _unreachable(model)
    if away and not isinstance(try_to_load_from_cache(model, "config.json"), str):
        raise FileNotFoundError(
            f"the model {model!r} is not on this disk ({constants.HF_HUB_CACHE}), and the Hub "
            f"cannot be reached ({away}). Name a folder that has it (`hf download {model} "
            "--local-dir FOLDER` writes one where there is a network), or set HF_HOME to where "
            "it is kept."
        )
    return bool(away)


def _unreachable(name: str) -> str:
    """Why the Hub cannot be asked for a model; nothing if it answers, be it that there is none."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        HfApi().model_info(name, timeout=_PATIENCE)
    except HfHubHTTPError:
        return ""
    except Exception as error:  # the network's kinds change with what the library sends by
        return str(error).strip().split("\n")[0][:200] or type(error).__name__
    return ""
