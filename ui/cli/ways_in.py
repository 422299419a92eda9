"""`rankloop account` on: invitations, sign-ins and access tokens."""

from dataclasses import asdict

import click

from ui.cli.accounts import HOURS, JSON, ROLES, account, account_named, link_of, print_json
from ui.cli.frame import Options, pass_options, project_of


@account.command("invite", example="rankloop account invite --role annotator --in-project")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What they may do.")
@click.option("--in-project", "in_project", is_flag=True, help="Only in the project of --project.")
@HOURS
@click.option("--note", default="", metavar="TEXT", help="For whom it is; only the list shows it.")
@JSON
@pass_options
def invite(
    options: Options, role: str, in_project: bool, hours: float | None, note: str, as_json: bool
) -> None:
    """Make a link with which one person makes an account for themselves, once."""
    from labeling.people.invitations import invite
    from storage.engine import writing
    from storage.tables import Role
    from ui.database import open_database

    settings = options.settings()
    with writing(open_database(settings)) as session:
        made, code = invite(
            session,
            role=Role(role),
            hours=settings.accounts.invitation_hours if hours is None else hours,
            by=None,
            project=project_of(session, settings) if in_project else None,
            note=note,
        )
    if as_json:
        print_json({"id": made.id, "link": link_of(settings, code), "until": made.expires_at})
        return
    click.echo(f"Link, shown only now: {link_of(settings, code)}")
    click.echo(f"It works once, until {made.expires_at:%Y-%m-%d %H:%M} UTC.")


@account.command("reset", example="rankloop account reset ada")
@click.argument("name")
@HOURS
@JSON
@pass_options
def reset(options: Options, name: str, hours: float | None, as_json: bool) -> None:
    """Make a link with which NAME chooses a new password, once."""
    from labeling.people.invitations import offer_new_password
    from storage.engine import writing
    from ui.database import open_database

    settings = options.settings()
    with writing(open_database(settings)) as session:
        made, code = offer_new_password(
            session,
            account=account_named(session, name),
            hours=settings.accounts.invitation_hours if hours is None else hours,
            by=None,
        )
    if as_json:
        print_json({"id": made.id, "link": link_of(settings, code), "until": made.expires_at})
        return
    click.echo(f"Link, shown only now: {link_of(settings, code)}")
    click.echo(f"It works once, until {made.expires_at:%Y-%m-%d %H:%M} UTC.")


@account.command("invitations", example="rankloop account invitations --json")
@JSON
@pass_options
def invitations(options: Options, as_json: bool) -> None:
    """List the invitations and what became of them, newest first."""
    from labeling.people.invitations import invitations
    from storage.engine import reading
    from ui.database import open_database

    with reading(open_database(options.settings())) as session:
        rows = invitations(session, by=None)
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    for row in rows:
        what = f"password of {row.account}" if row.account else f"{row.role} {row.project}".strip()
        became = f"used by {row.used_by}" if row.used_by else row.state
        note = f"  ({row.note})" if row.note else ""
        click.echo(f"{row.id:<4} {what:<28} until {row.expires_at:%Y-%m-%d %H:%M}  {became}{note}")
    if not rows:
        click.echo("No invitation yet; see `rankloop account invite --help`.")


@account.command("uninvite", example="rankloop account uninvite 3")
@click.argument("invitation_id", type=int, metavar="ID")
@pass_options
def uninvite(options: Options, invitation_id: int) -> None:
    """Take the open invitation ID back."""
    from labeling.people.invitations import revoke_invitation
    from storage.engine import writing
    from ui.database import open_database

    with writing(open_database(options.settings())) as session:
        revoke_invitation(session, invitation_id=invitation_id, by=None)
    click.echo(f"Invitation {invitation_id} is taken back.")


@account.command("sign-ins", example="rankloop account sign-ins ada --json")
@click.argument("name")
@JSON
@pass_options
def sign_ins(options: Options, name: str, as_json: bool) -> None:
    """List where NAME is signed in, the one seen last first."""
    from labeling.people.sign_ins import open_sign_ins
    from storage.engine import reading
    from ui.database import open_database

    with reading(open_database(options.settings())) as session:
        rows = open_sign_ins(session, account=account_named(session, name), by=None)
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    for row in rows:
        click.echo(
            f"{row.name}  seen {row.seen_at:%Y-%m-%d %H:%M}  {row.way:<10} {row.address:<15} "
            f"{row.user_agent[:60]}"
        )
    if not rows:
        click.echo(f"{name} is signed in nowhere.")


@account.command("sign-out", example="rankloop account sign-out ada")
@click.argument("name")
@click.option("--only", default=None, metavar="ID", help="Only this one of the list of sign-ins.")
@pass_options
def sign_out(options: Options, name: str, only: str | None) -> None:
    """Sign NAME out everywhere."""
    from labeling.people.sign_ins import revoke_sign_in, revoke_sign_ins
    from storage.engine import writing
    from ui.database import open_database

    with writing(open_database(options.settings())) as session:
        account, count = account_named(session, name), 1
        if only is None:
            count = revoke_sign_ins(session, account=account, by=None)
        else:
            revoke_sign_in(session, account=account, name=only, by=None)
    click.echo(f"{count} sign-ins of {name} are closed.")


@account.command("token", example="rankloop account token ada --name CI --action export")
@click.argument("account_name", metavar="ACCOUNT")
@click.option("--name", required=True, metavar="TEXT", help="What the token is for.")
@click.option("--days", type=float, default=None, metavar="N",
              help="Days that it is good for (default: the "
              "setting accounts.token_days, 90).")  # fmt: skip
@click.option("--action", "actions", multiple=True, metavar="ACTION",
              help="It may do only this (`rankloop account roles --json` lists them); repeatable. "
              "None: all that ACCOUNT may.")  # fmt: skip
@JSON
@pass_options
def token(
    options: Options, account_name: str, name: str, days: float | None, actions: tuple[str, ...],
    as_json: bool,
) -> None:  # fmt: skip
    """Make an access token of ACCOUNT for the HTTP API; docs/api.md has examples."""
    from labeling.people.access_tokens import make_token
    from storage.engine import writing
    from ui.database import open_database

    settings = options.settings()
    with writing(open_database(settings)) as session:
        made, secret = make_token(
            session,
            account=account_named(session, account_name),
            name=name,
            days=settings.accounts.token_days if days is None else days,
            longest=settings.accounts.longest_token_days,
            by=None,
            actions=actions,
        )
    if as_json:
        print_json({"id": made.id, "token": secret, "until": made.expires_at})
        return
    click.echo(f"Token, shown only now: {secret}")


@account.command("tokens", example="rankloop account tokens ada --json")
@click.argument("account_name", metavar="ACCOUNT")
@JSON
@pass_options
def tokens(options: Options, account_name: str, as_json: bool) -> None:
    """List the access tokens of ACCOUNT that are good."""
    from labeling.people.access_tokens import tokens
    from storage.engine import reading
    from ui.database import open_database

    with reading(open_database(options.settings())) as session:
        rows = tokens(session, account=account_named(session, account_name), by=None)
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    for row in rows:
        until = f"until {row.expires_at:%Y-%m-%d}" if row.expires_at else "for ever"
        used = f"used {row.last_used_at:%Y-%m-%d %H:%M}" if row.last_used_at else "never used"
        click.echo(
            f"{row.id:<4} {row.name:<24} {until}  {used}  {', '.join(row.actions) or 'everything'}"
        )
    if not rows:
        click.echo(f"{account_name} has no token.")


@account.command("revoke-token", example="rankloop account revoke-token ada 2")
@click.argument("account_name", metavar="ACCOUNT")
@click.argument("token_id", type=int, metavar="ID")
@pass_options
def revoke_token(options: Options, account_name: str, token_id: int) -> None:
    """Make the token ID of ACCOUNT worth nothing."""
    from labeling.people.access_tokens import revoke_token
    from storage.engine import writing
    from ui.database import open_database

    with writing(open_database(options.settings())) as session:
        revoke_token(
            session, account=account_named(session, account_name), token_id=token_id, by=None
        )
    click.echo(f"Token {token_id} of {account_name} is worth nothing now.")
