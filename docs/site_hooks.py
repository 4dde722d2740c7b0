"""Pages of the site that are files of the repository's root."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT_PAGES = {
    "architecture.md": "ARCHITECTURE.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the root's pages; their links into `docs/` then start in the same folder."""
    root = Path(config.config_file_path).parent
    for page, source in ROOT_PAGES.items():
        text = (root / source).read_text()
        text = text.replace("](docs/", "](")
        for other, name in ROOT_PAGES.items():
            text = text.replace(f"]({name})", f"]({other})")
        files.append(File.generated(config, page, content=text))
    return files
