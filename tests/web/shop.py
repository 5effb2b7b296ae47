"""The shop seen through its API: what a test arranges beside the browser it looks through."""

import itertools
import time
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx2

from miaosha.trials.sample_sale import PRODUCT, QUESTIONS
from tests.kit.running import Up, miaosha
from tests.kit.waits import eventually

PASSWORD = "correct horse battery"
WITHIN_S = 30.0
ANSWER = str(QUESTIONS[0]["answer"])
PICTURE = Path(str(files("miaosha.trials").joinpath("moon-lamp.jpg")))
RIGHT, WRONG = "The moon", "The cable"
HOME = {
    "name": "Ada Lovelace",
    "phone": "+44 20 7946 0000",
    "address": "12 St James's Square\nLondon",
}

_numbers = itertools.count(1)


@dataclass
class Person:
    id: int
    name: str
    email: str
    token: str
    role: str = "buyer"

    @property
    def auth(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}

    @property
    def session(self) -> dict[str, Any]:
        """What the pages keep of it in localStorage."""
        user = {"id": self.id, "name": self.name, "email": self.email, "role": self.role}
        return {"token": self.token, "user": user}


@dataclass
class Shop:
    up: Up
    http: httpx2.Client = field(init=False)
    admin: Person = field(init=False)

    def __post_init__(self) -> None:
        self.url = f"http://localhost:{self.up.port}"
        self.http = httpx2.Client(base_url=f"{self.url}/api/v1", timeout=20)
        email = "boss@example.com"
        options = ["--admin", "--email", email, "--name", "The Boss", "--password-stdin"]
        made = miaosha(
            "user", "create", *options, "--data-dir", str(self.up.data), stdin=PASSWORD + "\n"
        )
        assert made.returncode == 0, made.stderr
        self.admin = self.sign_in(email)

    def call(self, method: str, path: str, who: Person | None = None, body: Any = None) -> Any:
        """The JSON of a successful answer; one that asks to come again is asked again."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            answer = self.http.request(method, path, json=body, headers=who.auth if who else {})
            if answer.status_code < 300:
                return answer.json() if answer.content else None
            busy = answer.status_code in (429, 502, 503)
            assert busy and time.monotonic() < deadline, (method, path, answer.text)
            time.sleep(0.2)

    def now_ms(self) -> int:
        return int(self.call("GET", "/time")["server_time_ms"])

    def sign_in(self, email: str) -> Person:
        made = self.call("POST", "/sessions", body={"email": email, "password": PASSWORD})
        user = made["user"]
        return Person(user["id"], user["name"], email, made["access_token"], user["role"])

    def person(self, name: str = "Ada Lovelace") -> Person:
        email = f"buyer{next(_numbers)}@example.com"
        body = {"email": email, "password": PASSWORD, "name": name}
        made = self.call("POST", "/accounts", body=body)
        return Person(made["user"]["id"], name, email, made["access_token"])

    def product(self, name: str = "Moon lamp") -> int:
        body = PRODUCT | {"name": name}
        product = int(self.call("POST", "/admin/products", self.admin, body)["id"])
        headers = self.admin.auth | {"content-type": "image/jpeg"}
        path = f"/admin/products/{product}/picture"
        answer = self.http.put(path, content=PICTURE.read_bytes(), headers=headers)
        assert answer.status_code < 300, answer.text
        return product

    def sale(
        self,
        *,
        stock: int = 5,
        opens_in_s: float = -1,
        open_for_s: float = 600,
        pay_within_s: int = 300,
        **terms: Any,
    ) -> int:
        """A published sale; one that has opened is known to the publisher as open."""
        opens_at_ms = self.now_ms() + round(opens_in_s * 1000)
        body = {
            "product_id": terms.pop("product_id", None) or self.product(),
            "title": terms.pop("title", "Moon lamps at a tenth of the price"),
            "price": {"amount": 490, "currency": "USD"},
            "stock": stock,
            "opens_at_ms": opens_at_ms,
            "closes_at_ms": opens_at_ms + round(open_for_s * 1000),
            "pay_within_s": pay_within_s,
            "questions": QUESTIONS[:1],
            "publish": True,
        } | terms
        sale = int(self.call("POST", "/admin/sales", self.admin, body)["id"])
        if opens_in_s <= 0 and body["publish"]:
            eventually(lambda: self._takes_presses(sale), what="known to the publisher")
        return sale

    def _takes_presses(self, sale: int) -> bool:
        """Only the answer of a press that is in time is judged (403); a wrong one has no effect."""
        path, body = f"/sales/{sale}/purchases", {"answer": "none of them"}
        answer = self.http.post(path, json=body, headers=self.admin.auth)
        return answer.status_code in (403, 429)

    def mine(self, sale: int, who: Person) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/sales/{sale}/purchases/mine", who)
        return found

    def press(self, sale: int, who: Person) -> str:
        """Buy with the right answer; the state once it is decided."""
        path = f"/sales/{sale}/purchases"
        eventually(lambda: self.call("GET", f"/sales/{sale}")["phase"] == "open", what="open")
        asked: dict[str, Any] = {}

        def accepted() -> bool:
            answer = self.http.post(path, json={"answer": ANSWER}, headers=who.auth)
            asked.update(answer.json())
            return answer.status_code in (202, 410)

        eventually(accepted, what="accepted")
        if asked.get("code") == "sold_out":
            return "sold_out"
        states: list[str] = []

        def decided() -> bool:
            query = f"{path}/mine?request_id={asked['request_id']}"
            states.append(self.call("GET", query, who)["state"])
            return states[-1] != "queued"

        eventually(decided, what="decided")
        return states[-1]

    def pay(self, sale: int, who: Person) -> Any:
        card = {"card": "4242424242424242", "expiry": "12/30", "cvc": "123"}
        token = self.mine(sale, who)["checkout_token"]
        body = {"checkout_token": token, "payment": card, **HOME}
        return self.call("POST", f"/sales/{sale}/checkout", who, body)

    def give_up(self, sale: int, who: Person) -> None:
        self.call("DELETE", f"/sales/{sale}/purchases/mine", who)

    def admin_does(self, sale: int, action: str, body: Any = None) -> Any:
        return self.call("POST", f"/admin/sales/{sale}/{action}", self.admin, body)

    def audit(self, sale: int) -> None:
        """The ledger's invariants hold."""
        done = miaosha("audit", str(sale), "--data-dir", str(self.up.data))
        assert done.returncode == 0, done.stdout + done.stderr
