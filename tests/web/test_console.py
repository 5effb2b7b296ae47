"""The console: a sale is made, steered and looked at by a person with a browser."""

import csv
import io
import re
import sqlite3
from datetime import datetime, timedelta, timezone
from pathlib import Path

import openpyxl
from playwright.sync_api import Page, Route, expect

from tests.kit.waits import eventually
from tests.web.conftest import Visitors
from tests.web.shop import PICTURE, Shop
from tests.web.steps import button
from tests.web.visitor import Visitor

TAIPEI = timezone(timedelta(hours=8))
SAVED = re.compile(r"^Saved\.$")  # not "unsaved"


def fill(page: Page, **boxes: str) -> None:
    for name, value in boxes.items():
        page.get_by_role("textbox", name=name.replace("_", " "), exact=True).fill(value)


def confirm(page: Page, name: str) -> None:
    """Press a lever, and once more in the dialog that asks."""
    page.get_by_role("button", name=name, exact=True).first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name=name, exact=True).click()
    expect(dialog).to_have_count(0)


def new_product(page: Page, name: str) -> None:
    page.goto("/admin/products/new")
    fill(page, Name=name, Description="It glows.", List_price="49.00")
    button(page, "^Create product$").click()
    page.wait_for_url(re.compile(r"/admin/products/\d+$"))
    expect(button(page, "^Choose a picture$").last).to_be_in_viewport(
        ratio=1
    )  # nothing cuts it off
    page.get_by_label("Choose a picture").first.set_input_files(PICTURE)
    button(page, "^Upload$").click()
    expect(page.locator("img[src^='/files/']")).to_be_visible()


def local(moment: datetime) -> str:
    return moment.astimezone(TAIPEI).strftime("%Y-%m-%dT%H:%M:%S")


def new_sale(page: Page, product: str, title: str, opens: datetime) -> int:
    page.goto("/admin/sales/new")
    page.get_by_role("combobox", name="Product").select_option(label=product)
    fill(page, Title=title, Price="4.90", Units="2", Seconds_to_pay="300", Question_1="Which?")
    fill(page, Choice_1="This", Choice_2="That")
    page.get_by_label("Opens", exact=True).fill(local(opens))
    page.get_by_label("Closes", exact=True).fill(local(opens + timedelta(hours=1)))
    button(page, "^Save as draft$").click()
    page.wait_for_url(re.compile(r"/admin/sales/\d+/edit$"))
    confirm(page, "Publish")
    page.wait_for_url(re.compile(r"/admin/sales/\d+$"))
    return int(page.url.rsplit("/", 1)[1])


def in_phase(page: Page, phase: str) -> None:
    expect(page.get_by_text(phase, exact=True).first).to_be_visible()


def test_a_sale_is_made_and_steered(shop: Shop, visitors: Visitors) -> None:
    page = visitors(person=shop.admin).go("/admin")
    new_product(page, "Console lamp")
    opens = datetime.fromtimestamp(shop.now_ms() / 1000 - 60, TAIPEI)
    sale = new_sale(page, "Console lamp", "Lamps from the console", opens)
    in_phase(page, "Open")
    expect(page.get_by_text("it adds up")).to_be_visible()

    confirm(page, "Pause")
    in_phase(page, "Paused")
    confirm(page, "Resume")
    in_phase(page, "Open")
    button(page, "^Change stock$").click()
    dialog = page.get_by_role("dialog")
    fill(page, **{"Units_in_all,_those_sold_included": "1"})
    expect(dialog.get_by_text("One unit fewer")).to_be_visible()
    fill(page, **{"Units_in_all,_those_sold_included": "5"})
    dialog.get_by_role("button", name="Change stock", exact=True).click()
    expect(dialog).to_have_count(0)
    eventually(lambda: shop.call("GET", f"/sales/{sale}")["stock"] == 5, what="five")

    confirm(page, "Close sale")
    in_phase(page, "Closed")
    page.goto(f"/admin/trail?subject=sale:{sale}")
    for said in ("Sale created", "Sale published", "Sale paused", "Sale resumed", "Stock changed"):
        expect(page.get_by_role("cell", name=said).first).to_be_visible()
    shop.audit(sale)


def test_fields_that_are_wrong_say_so(shop: Shop, visitors: Visitors) -> None:
    page = visitors(person=shop.admin).go("/admin/sales/new")
    expect(page.get_by_text("Times are in").first).to_be_visible()
    button(page, "^Save as draft$").click()
    expect(page.get_by_text("Choose a product.").last).to_be_visible()
    expect(page.get_by_text("Please fill this in.").first).to_be_visible()
    expect(page.locator("[aria-invalid=true]").first).to_be_focused()
    page.goto("/admin/products/new")
    page.get_by_role("textbox", name="List price").fill("a lot")
    button(page, "^Create product$").click()
    expect(page.get_by_text("An amount such as 19.90 is expected.")).to_be_visible()


def test_a_file_that_is_no_picture_is_refused_before_it_is_sent(
    shop: Shop, visitors: Visitors, tmp_path: Path
) -> None:
    product = shop.product("Plain lamp")
    visitor = visitors(person=shop.admin)
    page = visitor.go(f"/admin/products/{product}")
    fake = tmp_path / "lamp.png"
    fake.write_text("no picture")
    page.get_by_label("Choose a picture").first.set_input_files(fake)
    expect(page.get_by_text("no JPEG, PNG, WebP or HEIC picture")).to_be_visible()
    assert not [call for call in visitor.calls if call.startswith("PUT")]


def sold(shop: Shop) -> tuple[int, str]:
    """A sale with an order, and its number."""
    sale, ada = shop.sale(title="Lamps that are sold"), shop.person('Ada "Quote", Lovelace')
    assert shop.press(sale, ada) == "held"
    return sale, shop.pay(sale, ada)["order_no"]


def test_orders_are_found_and_exported(shop: Shop, visitors: Visitors) -> None:
    _, number = sold(shop)
    page = visitors(person=shop.admin).go("/admin/orders")
    search = page.get_by_label("Order number, e-mail or name")
    search.fill(number)
    search.press("Enter")
    page.wait_for_url(f"**/admin/orders?*{number}*")
    expect(page.get_by_role("row")).to_have_count(2)  # the head, and the one that was looked for
    expect(page.get_by_text(number).first).to_be_visible()
    files = {}
    for kind in ("Spreadsheet (.xlsx)", "CSV"):
        button(page, "^Export$").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("File").select_option(kind)
        with page.expect_download() as download:
            dialog.get_by_role("button", name="Export", exact=True).click()
        files[download.value.suggested_filename] = download.value.path().read_bytes()
    text = files["orders.csv"].decode("utf-8-sig")
    assert files["orders.csv"].startswith("\ufeff".encode())
    assert [row["order_no"] for row in csv.DictReader(io.StringIO(text))] == [number]
    sheet = openpyxl.load_workbook(io.BytesIO(files["orders.xlsx"]))["orders"]
    assert [row[0].value for row in sheet.iter_rows()] == ["order_no", number]


def test_support_sees_a_buyers_whole_story(shop: Shop, visitors: Visitors) -> None:
    sale, ada = shop.sale(title="A story"), shop.person("Grace Hopper")
    assert shop.press(sale, ada) == "held"
    shop.call("POST", f"/sales/{sale}/purchases/mine/extend", ada)
    shop.pay(sale, ada)
    page = visitors(person=shop.admin).go("/admin/people")
    search = page.get_by_label("E-mail, name or id")
    search.fill(ada.email)
    search.press("Enter")
    page.get_by_role("link", name=re.compile("Grace Hopper|" + ada.email)).first.click()
    expect(page.get_by_text("Payment 1: charged").first).to_be_visible()
    page.goto(f"/admin/trail?subject=sale:{sale}")
    expect(page.get_by_text("Deadline moved by the buyer").first).to_be_visible()


def test_a_buyer_cannot_open_the_console(shop: Shop, visitors: Visitors) -> None:
    visitor = visitors(person=shop.person())
    visitor.expect(403)
    for path in ("/admin", "/admin/orders", "/admin/sales/1"):
        page = visitor.go(path)
        expect(page.get_by_text("The console is not for this account")).to_be_visible()
    stranger = visitors()
    stranger.expect(401)
    page = stranger.go("/admin/orders")
    expect(page.get_by_text("Sign in to open the console")).to_be_visible()


def look(visitor: Visitor, path: str, name: str) -> None:
    page = visitor.go(path)
    expect(page.get_by_role("heading", level=1).first).to_be_visible()
    visitor.at_rest()
    visitor.in_both_schemes(f"console-{name}")


def test_a_phone_shows_which_page_it_is_on(shop: Shop, visitors: Visitors) -> None:
    """The menu is wider than a phone; its last entries lie beyond the edge at first."""
    page = visitors(person=shop.admin, phone=True).go("/admin")
    expect(page.get_by_role("link", name="Audit trail")).not_to_be_in_viewport()
    for path, name in (("/admin/parked", "Parked"), ("/admin/trail", "Audit trail")):
        page.goto(path)
        expect(page.get_by_role("link", name=name, exact=True)).to_be_in_viewport(ratio=0.99)


def test_its_pages_are_accessible(shop: Shop, visitors: Visitors) -> None:
    sale, _ = sold(shop)
    product = shop.product("Pictured lamp")
    draft = shop.sale(title="A draft of a sale", publish=False, opens_in_s=86_400)
    visitor = visitors(person=shop.admin)
    look(visitor, "/admin/sales", "sales")
    look(visitor, f"/admin/sales/{sale}", "room")
    look(visitor, f"/admin/sales/{sale}/report", "report")
    look(visitor, f"/admin/sales/{draft}/edit", "sale")
    look(visitor, "/admin/products", "products")
    look(visitor, f"/admin/products/{product}", "product")


def test_its_lists_are_accessible(shop: Shop, visitors: Visitors) -> None:
    _ = sold(shop)
    visitor = visitors(person=shop.admin)
    look(visitor, "/admin/orders", "orders")
    look(visitor, "/admin/people", "people")
    look(visitor, f"/admin/people/{shop.admin.id}", "person")
    look(visitor, "/admin/parked", "parked")
    look(visitor, "/admin/trail", "trail")


def give_up_on_mails(shop: Shop, sale: int, buyer: int, count: int) -> None:
    """As after eight tries each."""
    database = sqlite3.connect(shop.up.data / "miaosha.sqlite", timeout=30)
    for number in range(count):
        database.execute(
            "INSERT INTO outbox (dedupe_key, event, rid, user_id, sale_id, state, attempts,"
            " next_at_ms, reason, created_at_ms) VALUES (?, 'won', ?, ?, ?, 'parked', 8, ?,"
            " 'mail server: not now (421)', 1)",
            (f"won:x.{number}", f"x.{number}", buyer, sale, shop.now_ms()),
        )
    database.commit()
    database.close()


def test_a_mail_given_up_on_is_sent_again(shop: Shop, visitors: Visitors) -> None:
    sale, ada = shop.sale(title="Lamps that are held"), shop.person()
    assert shop.press(sale, ada) == "held"
    give_up_on_mails(shop, sale, ada.id, 2)
    visitor = visitors(person=shop.admin)
    page = visitor.go(f"/admin/sales/{sale}")
    expect(page.get_by_text("2 given up")).to_be_visible()
    look(visitor, "/admin/parked", "parked-mails")
    rows = page.get_by_role("row").filter(has_text=ada.email)
    expect(rows.first).to_contain_text("421")
    confirm(page, "Send again")
    expect(rows).to_have_count(1)
    confirm(page, "Send again")
    expect(page.get_by_text("Nothing is parked.")).to_be_visible()


def test_of_two_admins_at_one_draft_the_second_is_told(shop: Shop, visitors: Visitors) -> None:
    draft = shop.sale(title="A draft for two", publish=False, opens_in_s=86_400)
    path = f"/admin/sales/{draft}/edit"
    first, second = visitors(person=shop.admin), visitors(person=shop.admin)
    second.expect(409)
    for visitor in (first, second):
        expect(visitor.go(path).get_by_role("textbox", name="Title")).to_be_visible()
    save(first.page, "Ann's title")
    save(second.page, "Bob's title", told="Somebody else has saved this draft")
    second.accessible("an overtaken form")
    button(second.page, "^Load the saved version$").click()
    expect(second.page.get_by_role("textbox", name="Title")).to_have_value("Ann's title")
    save(second.page, "Bob's title")

    button(first.page, "^Publish$").click()  # what she sees is no longer what there is
    first.expect(409)
    first.page.get_by_role("dialog").get_by_role("button", name="Publish", exact=True).click()
    expect(first.page.get_by_text("Somebody else has saved this draft")).to_be_visible()
    fill(first.page, Title="Ann's again")
    button(first.page, "^Save mine instead$").click()
    expect(first.page.get_by_text(SAVED)).to_be_visible()
    kept = shop.call("GET", f"/admin/sales/{draft}", shop.admin)
    assert (kept["sale"]["title"], kept["stored_phase"]) == ("Ann's again", "draft")


def test_of_two_admins_at_one_product_the_second_is_told(shop: Shop, visitors: Visitors) -> None:
    path = f"/admin/products/{shop.product('A lamp for two')}"
    first, second = visitors(person=shop.admin), visitors(person=shop.admin, locale="zh-TW")
    second.expect(409)
    for visitor in (first, second):
        expect(visitor.go(path).get_by_role("textbox").first).to_have_value("A lamp for two")
    save(first.page, "Ann's lamp", box="Name")
    second.page.get_by_role("textbox", name="名稱").fill("Bob's lamp")
    button(second.page, "^儲存$").click()
    expect(second.page.get_by_text("有人儲存了這項商品")).to_be_visible()
    second.accessible("an overtaken product")
    button(second.page, "^載入已儲存的版本$").click()
    expect(second.page.get_by_role("textbox", name="名稱")).to_have_value("Ann's lamp")


def save(page: Page, title: str, told: str | re.Pattern[str] = SAVED, box: str = "Title") -> None:
    fill(page, **{box: title})
    button(page, "^Save$").click()
    expect(page.get_by_text(told)).to_be_visible()


def test_more_of_an_earlier_search_is_not_shown(shop: Shop, visitors: Visitors) -> None:
    for _ in range(21):
        shop.person("One of many")
    only = shop.person("The one looked for")
    visitor = visitors(person=shop.admin)
    page = visitor.go("/admin/people?q=One+of+many")
    expect(page.get_by_role("row")).to_have_count(21)
    held_back: list[Route] = []
    visitor.context.route("**/admin/users?*cursor=*", lambda route: held_back.append(route))
    button(page, "^Load more$").click()
    search = page.get_by_label("E-mail, name or id")
    search.fill(only.email)
    search.press("Enter")
    expect(page.get_by_role("row")).to_have_count(2)
    with page.expect_response("**/admin/users?*cursor=*"):
        held_back[0].continue_()
    visitor.at_rest()
    expect(page.get_by_role("row")).to_have_count(2)
    page.go_back()
    expect(search).to_have_value("One of many")


def test_unsaved_changes_are_left_only_when_that_is_confirmed(
    shop: Shop, visitors: Visitors
) -> None:
    product = shop.product("A lamp half changed")
    page = visitors(person=shop.admin).go("/admin/products")
    page.get_by_role("link", name="A lamp half changed").click()
    dialog = page.get_by_role("dialog", name="Leave without saving?")
    fill(page, Name="Another lamp")
    page.get_by_role("link", name="Skip to content").press("Enter")
    expect(page.locator("#content")).to_be_focused()
    page.go_back()
    expect(dialog).to_have_count(0)  # all that was on the same page
    page.get_by_role("link", name="Orders", exact=True).click()
    button(page, "^Cancel$").click()
    page.go_back()
    expect(dialog).to_be_visible()
    button(page, "^Cancel$").click()
    expect(page.get_by_role("textbox", name="Name", exact=True)).to_have_value("Another lamp")
    assert page.url.endswith(f"/admin/products/{product}")
    page.go_back()
    button(page, "^Leave$").click()
    page.wait_for_url("**/admin/products")
    expect(dialog).to_have_count(0)
