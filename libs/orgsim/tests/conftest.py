"""An org in this process, reached through ASGI without a socket."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest

from holdfast.orgsim.api.app import OrgApp
from holdfast.orgsim.org import Org, OrgSettings
from holdfast.orgsim.saving.saver import Saver
from holdfast.orgsim.soql.evaluate import run
from holdfast.orgsim.soql.parse import parse
from holdfast.orgsim.soql.result import Result


@pytest.fixture
def org() -> Org:
    """A pristine org."""
    made = Org(OrgSettings(client_secret="secret"))
    made.instance_url = "http://org"
    return made


@pytest.fixture
def writer(org: Org) -> Saver:
    """Saves as the administrator."""
    return Saver(org, org.admin, "test")


@dataclass
class Api:
    """An authenticated HTTP client of an in-process org."""

    org: Org
    http: httpx.AsyncClient
    app: OrgApp
    headers: dict[str, str] = field(default_factory=dict)

    async def sign_in(self) -> None:
        form = {"grant_type": "client_credentials", "client_id": self.org.app.client_id, "client_secret": "secret"}
        answer = await self.http.post("/services/oauth2/token", data=form)
        assert answer.status_code == 200, answer.text
        self.http.headers["Authorization"] = "Bearer " + answer.json()["access_token"]

    async def query(self, soql: str, path: str = "query") -> httpx.Response:
        return await self.http.get(f"/services/data/v62.0/{path}", params={"q": soql})


@pytest.fixture
async def api(org: Org) -> AsyncIterator[Api]:
    app = OrgApp(org)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://org") as http:
        made = Api(org, http, app)
        await made.sign_in()
        yield made


def select(org: Org, soql: str, *, all_rows: bool = False) -> Result:
    """Evaluate a query as the administrator."""
    return run(org, parse(soql), org.admin, include_deleted=all_rows)


@pytest.fixture
def ask(org: Org):
    """`ask(soql)` → list of tuples of canonical text."""

    def rows(soql: str, *, all_rows: bool = False) -> list[tuple[str | None, ...]]:
        result = select(org, soql, all_rows=all_rows)
        return result.frame.select([o.column.name for o in result.outputs]).rows()

    return rows
