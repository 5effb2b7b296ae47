"""Sandbox page: what the sandbox's bank shows, without scripts, in English or 繁體中文."""

import base64
import hashlib
import html
from typing import Final

from miaosha.domain.money import Money
from miaosha.ports.payments import ChargeState

STYLE: Final = (
    ":root{color-scheme:light dark}*{box-sizing:border-box}"
    "body{margin:0;min-height:100dvh;display:grid;place-items:center;padding:1.5rem;"
    "background:light-dark(#eef1f5,#0e1116);color:light-dark(#17202b,#eef2f7);"
    "font:1.0625rem/1.55 system-ui,sans-serif}"
    "main{width:100%;max-width:26rem;padding:2rem;border-radius:1.25rem;text-align:center;"
    "background:light-dark(#fff,#1a1f27);border:1px solid light-dark(#d9dfe7,#323a46)}"
    "h1{margin:.25rem 0 .5rem;font-size:1.375rem;line-height:1.25}"
    "p{margin:.5rem 0}.amount{font-size:2.25rem;font-weight:700;letter-spacing:-.02em}"
    ".quiet{font-size:.875rem;color:light-dark(#525e6d,#aab5c3)}"
    "form{display:grid;gap:.75rem;margin:1.5rem 0 1rem}"
    "button{font:inherit;font-weight:600;min-height:3rem;border-radius:.75rem;cursor:pointer;"
    "border:1px solid light-dark(#6d7886,#8b97a6);background:transparent;color:inherit}"
    "button.yes{background:light-dark(#1f5aa8,#8fbcff);color:light-dark(#fff,#0b1a30);"
    "border-color:transparent}"
    "a{color:light-dark(#1f5aa8,#8fbcff)}"
    ":focus-visible{outline:3px solid light-dark(#1f5aa8,#a9cbff);outline-offset:2px}"
)
_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
CSP: Final = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
TEXTS: Final = {
    "en": {
        "bank": "Sandbox bank",
        "ask": "Confirm this payment",
        "approve": "Approve",
        "refuse": "Refuse",
        "over": "This payment is {state}",
        "back": "Back to the shop",
        "note": "A sandbox: no money moves.",
    },
    "zh-Hant": {
        "bank": "沙盒銀行",
        "ask": "確認這筆付款",
        "approve": "同意付款",
        "refuse": "拒絕付款",
        "over": "這筆付款已處理（{state}）",
        "back": "返回商店",
        "note": "沙盒環境：不會真的扣款。",
    },
}


def language_of(accepted: str) -> str:
    """The page's language for an Accept-Language header: that of its first entry."""
    return "zh-Hant" if accepted.strip().lower().startswith("zh") else "en"


def confirmation(amount: Money, language: str) -> bytes:
    """Asks whether to pay."""
    said = TEXTS[language]
    return _page(
        language,
        f'<h1>{said["ask"]}</h1><p class="amount">{html.escape(str(amount))}</p>'
        f'<form method="post"><button class="yes" name="decision" value="approve">'
        f'{said["approve"]}</button><button name="decision" value="refuse">{said["refuse"]}'
        "</button></form>",
    )


def conclusion(state: ChargeState, back_url: str, language: str) -> bytes:
    """Says that there is nothing to confirm any more, with a way back."""
    said = TEXTS[language]
    over = html.escape(said["over"].format(state=state))
    back = html.escape(back_url, quote=True)
    return _page(language, f'<h1>{over}</h1><p><a href="{back}">{said["back"]}</a></p>')


def _page(language: str, body: str) -> bytes:
    said = TEXTS[language]
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>{said['bank']}</title><style>{STYLE}</style></head><body><main>"
        f'<p class="quiet">{said["bank"]}</p>{body}<p class="quiet">{said["note"]}</p>'
        "</main></body></html>"
    ).encode()
