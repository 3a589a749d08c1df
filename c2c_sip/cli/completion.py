"""``completion``: the shell's help with commands and options."""

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that has SHELL complete this program's commands and options.

    \b
    bash:  eval "$(c2c-sip completion bash)"       in ~/.bashrc
    zsh:   eval "$(c2c-sip completion zsh)"        in ~/.zshrc
    fish:  c2c-sip completion fish | source        in ~/.config/fish/config.fish
    """
    # Only here: it is imported by nothing else.
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # click has all three
    # It looks for the program by this name, and so must the shell.
    made = kind(context.find_root().command, {}, "c2c-sip", "_C2C_SIP_COMPLETE")
    click.echo(made.source())
