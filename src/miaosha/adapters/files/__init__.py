"""Files adapters: chosen by URL: `file:DIR`."""

from miaosha.domain.errors import SettingsError
from miaosha.domain.urls import directory_of
from miaosha.ports.files import Files
from miaosha.settings import Settings


def open_files(settings: Settings) -> Files:
    """The files of `settings.files_url`; a relative DIR starts at the working directory.

    Raises:
        SettingsError: the URL is of no known kind.
    """
    try:
        directory = directory_of(settings.files_url)
    except ValueError as error:
        raise SettingsError(
            f"MIAOSHA_FILES_URL={settings.files_url!r}: expected file:DIR, {error}"
        ) from None
    from miaosha.adapters.files.local import LocalFiles

    return LocalFiles(directory)
