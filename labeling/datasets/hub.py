"""Put an exported folder on the Hugging Face Hub, or on a server that speaks as it does."""

from pathlib import Path

from storage.errors import NotAllowed, Unavailable


def push_to_hub(folder: Path, *, repository: str, endpoint: str | None = None) -> str:
    """Upload a finished export as a data set; return its address.

    The repository (`name` or `owner/name`) is made, private, where it is not there; one that is
    there keeps its visibility. The token is the one of `hf auth login` or the variable HF_TOKEN;
    `endpoint` is another server than HF_ENDPOINT or the Hub. Raises `NotAllowed` where the server
    refuses the token, `Unavailable` where it cannot be reached; the folder stays as it is.
    """
    # Its import costs a second, and few exports leave the machine.
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError

    api = HfApi(endpoint=endpoint)
    try:
        made = api.create_repo(repository, repo_type="dataset", private=True, exist_ok=True)
        api.upload_folder(
            repo_id=made.repo_id,
            repo_type="dataset",
            folder_path=folder,
            commit_message="Export by Rankloop",
        )
    except HFValidationError as error:
        raise Unavailable(
            f"{repository} is no name of a repository ({_first_line(error)}); use OWNER/NAME."
        ) from error
    except HfHubHTTPError as error:
        if error.response is not None and error.response.status_code in (401, 403):
            raise NotAllowed(
                f"The Hub does not let this token write to {repository}; set HF_TOKEN to one that "
                "may."
            ) from error
        raise _cannot_be_reached(repository, folder, error) from error
    except (OSError, HTTPError) as error:
        raise _cannot_be_reached(repository, folder, error) from error
    return str(made)


def _cannot_be_reached(repository: str, folder: Path, error: Exception) -> Unavailable:
    return Unavailable(
        f"{repository} could not be uploaded ({_first_line(error)}); the files are in {folder}: "
        "upload them later with `hf upload`."
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
