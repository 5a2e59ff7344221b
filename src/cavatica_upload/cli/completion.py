"""`cavatica completion`."""

import click
from click.shell_completion import get_completion_class

from cavatica_upload.cli.console import write_line
from cavatica_upload.cli.options import Command


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script that completes commands and options.

    \b
    bash:  cavatica completion bash >> ~/.bashrc
    zsh:   cavatica completion zsh >> ~/.zshrc
    fish:  cavatica completion fish > ~/.config/fish/completions/cavatica.fish
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"There is no completion for {shell}.")
    root = click.get_current_context().find_root().command
    write_line(kind(root, {}, "cavatica", "_CAVATICA_COMPLETE").source())
