"""`postino reference`: explain every setting."""

import click


@click.command(epilog="Example: postino reference limits.message_octets")
@click.argument("names", nargs=-1, metavar="[SETTING]...")
@click.option("--markdown", is_flag=True, help="Print the page docs/settings.md.")
@click.option("--toml", is_flag=True, help="Print a settings file with every setting commented.")
def reference(names: tuple[str, ...], markdown: bool, toml: bool) -> None:
    """Print every setting with its type, unit, default and meaning.

    SETTING is a table (limits) or one setting (limits.message_octets); none prints all.
    """
    from postino.app.settings_reference import render_commented_file, render_markdown, render_text

    if markdown:
        click.echo(render_markdown(), nl=False)
    elif toml:
        click.echo(render_commented_file({}), nl=False)
    else:
        click.echo(render_text(names), nl=False)
