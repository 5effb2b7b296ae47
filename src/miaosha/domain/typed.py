"""Typed text: what a person typed or pasted, in the one form that is kept; None if unclear.

People type digits of their own script and width, copy invisible characters, and write one thing in
several ways. Whatever has a single meaning is taken. `web/src/ui/typed.ts` says the same.
"""

import re
import unicodedata
from typing import Final

_DASHES: Final = {ord("\u2212"): "-"}  # a minus is no dash to Unicode
_EXTENSION: Final = re.compile(
    r"[\s,;]*(?:extension|extn|ext|x|#|分機|內線|轉)[\s.:=]*([0-9]{1,8})$", re.IGNORECASE
)
_PHONE: Final = re.compile(r"[0-9+(). /#-]{4,40}")
_SEPARATED: Final = re.compile(r"([0-9]{1,2}) ?[/.-]? ?([0-9]{4}|[0-9]{2})")
_YEAR_FIRST: Final = re.compile(r"(20[0-9]{2})[/.-]([0-9]{1,2})")


def plain(text: str) -> str:
    """With ASCII digits and dashes and single blanks, half as wide, without what cannot be seen."""
    seen = []
    for sign in unicodedata.normalize("NFKC", text).translate(_DASHES):
        match unicodedata.category(sign):
            case "Nd":
                seen.append(str(unicodedata.decimal(sign)))
            case "Pd":
                seen.append("-")
            case "Cf":
                pass
            case _:
                seen.append(sign)
    return " ".join("".join(seen).split())


def card_number(text: str) -> str | None:
    """Twelve to nineteen digits; blanks and dashes are for the eye."""
    digits = plain(text).replace(" ", "").replace("-", "")
    return digits if digits.isascii() and digits.isdigit() and 12 <= len(digits) <= 19 else None


def card_expiry(text: str) -> str | None:
    """`MM/YY`, from 12/30, 12 / 30, 1/30, 0130, 12/2030, 2030-12 and their like."""
    typed = plain(text)
    if first := _YEAR_FIRST.fullmatch(typed):
        year, month = first[1], first[2]
    elif re.fullmatch(r"[0-9]{3}", typed):  # 130: there is no thirteenth month; 123 may be either
        if int(typed[:2]) <= 12:
            return None
        month, year = typed[0], typed[1:]
    elif re.fullmatch(r"[0-9]{4}|[0-9]{6}", typed):
        month, year = typed[:2], typed[2:]
    elif found := _SEPARATED.fullmatch(typed):
        month, year = found[1], found[2]
    else:
        return None
    if not 1 <= int(month) <= 12 or (len(year) == 4 and not year.startswith("20")):
        return None
    return f"{int(month):02}/{year[-2:]}"


def card_code(text: str) -> str | None:
    """Three or four digits."""
    code = plain(text).replace(" ", "")
    return code if re.fullmatch(r"[0-9]{3,4}", code) else None


def phone_number(text: str) -> str | None:
    """At least four digits with the signs people put between them; an extension follows a #."""
    typed = re.sub(r"^tel: ?", "", plain(text), flags=re.IGNORECASE)
    number = _EXTENSION.sub(r" #\1", typed).strip()
    enough = sum(sign.isdigit() for sign in number) >= 4
    return number if enough and _PHONE.fullmatch(number) else None


def email_address(text: str) -> str:
    """In lower case, without what mail programs and keyboards put around or into it."""
    typed = re.sub(r"^mailto: ?", "", plain(text), flags=re.IGNORECASE)
    return re.sub(r" ?@ ?", "@", typed).replace("。", ".").lower()
