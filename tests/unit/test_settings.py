"""Settings: defaults < file < environment < command line, and every mistake named."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from spymaster.errors import ContractError
from spymaster.settings import Settings

EVENING = """
[underlier.ES.windows]
bars = "17:00-19:00"
premarket = "17:00-18:10"
opening_range = "18:10-18:20"
focus = "17:00-19:00"
trigger = "18:20-19:00"

[underlier.ES.approach]
scale = "fixed"
barrier_ticks = 8
"""


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SPYMASTER_CONFIG", "SPYMASTER_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def write(tmp_path: Path, text: str, name: str = "spymaster.toml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(ContractError) as caught:
        Settings.load(write(tmp_path, text))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_file_and_environment_the_defaults_hold() -> None:
    settings = Settings.load()
    assert settings == Settings()
    assert settings.root == "./spymaster-data"
    es, tsla = settings.of("ES"), settings.of("TSLA")
    assert (es.model_id, es.venue, es.calendar, es.boundary) == (
        "ES_MODEL", "GLBX.MDP3", "CME_Equity", "17:00",
    )  # fmt: skip
    assert (tsla.venue, tsla.calendar, tsla.boundary) == ("XNAS.ITCH", "NASDAQ", "20:00")
    assert (es.approach.touch_ticks, es.approach.barrier_ticks) == (4, 24)
    assert (tsla.approach.touch_ticks, tsla.approach.barrier_ticks) == (20, 150)
    assert es.windows.trigger == "09:30-12:30"


def test_settings_cannot_be_changed_after_they_are_built() -> None:
    with pytest.raises(ValidationError):
        Settings().root = "elsewhere"  # type: ignore[misc]


def test_a_file_that_sets_some_keys_of_es_keeps_its_other_defaults(tmp_path: Path) -> None:
    settings = Settings.load(write(tmp_path, EVENING))
    es = settings.of("ES")
    assert es.windows.bars == "17:00-19:00"
    assert es.windows.regular == "09:30-16:00"
    assert (es.approach.scale, es.approach.touch_ticks, es.approach.barrier_ticks) == (
        "fixed",
        4,
        8,
    )
    assert es.model_id == "ES_MODEL"
    assert settings.of("TSLA") == Settings().of("TSLA")


def test_the_command_line_beats_the_environment_which_beats_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, 'root = "from-file"\n[underlier.ES.approach]\ntouch_ticks = 5\n')
    assert Settings.load(path).root == "from-file"
    monkeypatch.setenv("SPYMASTER_ROOT", "from-environment")
    monkeypatch.setenv("SPYMASTER_UNDERLIER__ES__APPROACH__TOUCH_TICKS", "6")
    settings = Settings.load(path)
    assert settings.root == "from-environment"
    assert settings.of("ES").approach.touch_ticks == 6
    assert Settings.load(path, root="from-command").root == "from-command"
    assert Settings.load(path, root=None).root == "from-environment"


def test_the_file_is_found_by_argument_then_variable_then_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 'root = "here"')
    assert Settings.load().root == "here"
    monkeypatch.setenv("SPYMASTER_CONFIG", str(write(tmp_path, 'root = "named"', "b.toml")))
    assert Settings.load().root == "named"
    assert Settings.load(write(tmp_path, 'root = "given"', "c.toml")).root == "given"


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"absent\.toml: cannot be read .* --config"):
        Settings.load(tmp_path / "absent.toml")


def test_a_file_that_is_not_toml_is_refused_with_the_place(tmp_path: Path) -> None:
    assert "line 2" in refused(tmp_path, 'root = "a"\nroot = = 3')


def test_an_unknown_key_is_named_with_its_file_and_the_allowed_keys(tmp_path: Path) -> None:
    message = refused(tmp_path, '[underlier.ES.windows]\nbar = "08:30-16:00"')
    assert "spymaster.toml" in message
    assert "unknown key underlier.ES.windows.bar" in message
    assert "allowed: bars, premarket, opening_range, focus, trigger, regular" in message
    assert "allowed: root, underlier" in refused(tmp_path, 'rot = "x"')
    assert "allowed: model_id, venue" in refused(tmp_path, '[underlier.ES]\nvenu = "x"')
    assert "allowed: scale, touch" in refused(tmp_path, "[underlier.ES.approach]\ntouch = 3")


def test_a_typing_error_in_a_nested_variable_is_not_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SPYMASTER_UNDERLIER__ES__WINDOWS__BAR", "08:30-16:00")
    with pytest.raises(
        ContractError, match=r"environment: unknown key underlier\.ES\.windows\.bar;"
    ):
        Settings.load()


@pytest.mark.parametrize(
    ("table", "line", "words"),
    [
        ("windows", 'bars = "08:30"', 'windows.bars = "08:30": should be two clock times'),
        ("windows", 'bars = "08:30-25:00"', "clock time HH:MM or HH:MM:SS"),
        ("windows", 'bars = "08:30:03-16:00"', "a multiple of 5 seconds"),
        ("windows", 'bars = "16:00-18:00"', "crosses the boundary between sessions at 17:00"),
        ("windows", 'regular = "09:30-09:30"', "is empty"),
        ("windows", 'trigger = "09:30-12:31"', "windows.trigger 09:30-12:31 does not lie within"),
        ("windows", 'focus = "08:00-12:30"', "windows.focus 08:00-12:30 does not lie within"),
        ("approach", 'scale = "tight"', "should be 'range' or 'fixed'"),
        ("approach", "touch_ticks = 0", "greater than or equal to 1"),
        ("approach", 'touch_ticks = "four"', "should be a valid integer"),
        ("approach", "touch_ticks = 24", "touch_ticks 24 is not below barrier_ticks 24"),
    ],
)  # fmt: skip
def test_a_bad_value_is_named_with_what_is_allowed(
    tmp_path: Path, table: str, line: str, words: str
) -> None:
    message = refused(tmp_path, f"[underlier.ES.{table}]\n{line}")
    assert "spymaster.toml: underlier.ES" in message
    assert words in message


def test_a_new_underlier_says_which_keys_it_lacks(tmp_path: Path) -> None:
    assert "underlier.NQ.model_id is missing" in refused(tmp_path, '[underlier.NQ]\nvenue = "V"')


def test_a_window_may_span_midnight(tmp_path: Path) -> None:
    night = 'bars = "23:00-01:00"\nfocus = "23:00-00:30"\ntrigger = "23:30-00:30"'
    settings = Settings.load(write(tmp_path, f"[underlier.ES.windows]\n{night}"))
    assert settings.of("ES").windows.bars == "23:00-01:00"


def test_one_meaning_has_one_hash_and_the_root_is_not_in_it(tmp_path: Path) -> None:
    plain = Settings()
    spelled = Settings.load(
        write(tmp_path, 'root = "b"\n[underlier.ES.windows]\nbars = "08:30:00-16:00:00"')
    )
    assert spelled.config_hash("ES") == plain.config_hash("ES")
    assert len(plain.config_hash("ES")) == 32
    assert plain.config_hash("ES") != plain.config_hash("TSLA")


def test_a_change_of_es_changes_the_hash_of_es_alone(tmp_path: Path) -> None:
    evening = Settings.load(write(tmp_path, EVENING))
    assert evening.config_hash("ES") != Settings().config_hash("ES")
    assert evening.config_hash("TSLA") == Settings().config_hash("TSLA")


def test_the_printed_settings_load_to_the_same_settings(tmp_path: Path) -> None:
    settings = Settings.load(
        write(tmp_path, EVENING),
        root='C:\\a "b" ü',
        underlier={"BRK.B": {"model_id": "M", "venue": "XNYS.PILLAR", "calendar": "NYSE"}},
    )
    assert Settings.load(write(tmp_path, settings.to_toml(), "again.toml")) == settings


def test_an_underlier_that_is_not_configured_is_refused_by_name() -> None:
    with pytest.raises(ContractError, match="'NQ' is not configured; allowed: ES, TSLA"):
        Settings().of("NQ")


def test_bus_keys_are_set_by_file_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '[bus]\nkind = "kafka"\n[bus.kafka]\nservers = "a:9093"\nauth = "entra"\n'
    monkeypatch.setenv("SPYMASTER_BUS__KAFKA__SERVERS", "b:9093")
    monkeypatch.setenv("SPYMASTER_BUS__EMBEDDED__KEEP_HOURS", "2.5")
    bus = Settings.load(write(tmp_path, text)).bus
    assert (bus.kind, bus.partitions, bus.kafka.auth, bus.kafka.servers) == (
        "kafka",
        1,
        "entra",
        "b:9093",
    )
    assert bus.embedded.keep_hours == 2.5


def test_a_mistake_in_the_bus_keys_is_named_with_the_allowed_ones(tmp_path: Path) -> None:
    assert "allowed: kind, partitions" in refused(tmp_path, "[bus]\nkinds = 1")
    assert "allowed: servers, auth" in refused(tmp_path, '[bus.kafka]\nserver = "x"')
    assert "allowed: keep_hours" in refused(tmp_path, "[bus.embedded]\nkeep = 1")
    assert "bus.wait_s = 0: should be greater than 0" in refused(tmp_path, "[bus]\nwait_s = 0")
    assert "'embedded' or 'kafka'" in refused(tmp_path, '[bus]\nkind = "rabbit"')
    many = "[bus]\nmax_message_bytes = 9000000"
    assert "max_message_bytes 9000000 is above buffer_bytes 8000000" in refused(tmp_path, many)


def test_the_bus_does_not_change_what_a_row_is_made_of(tmp_path: Path) -> None:
    kafka = Settings.load(write(tmp_path, '[bus]\nkind = "kafka"'))
    assert kafka.config_hash("ES") == Settings().config_hash("ES")


def test_feed_of_one_underlier_is_added_to_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '[feed]\nheartbeat_s = 10\n[feed.symbols.NQ]\nparent = ["NQ.FUT"]\n'
    monkeypatch.setenv("SPYMASTER_FEED__SYMBOLS__TSLA__RAW_SYMBOL", "TSLA,TSLL")
    feed = Settings.load(write(tmp_path, text)).feed
    assert feed.heartbeat_s == 10
    assert feed.symbols["NQ"].parent == ("NQ.FUT",)
    assert feed.symbols["ES"].parent == ("ES.FUT", "ES.OPT")
    assert feed.symbols["TSLA"].raw_symbol == ("TSLA", "TSLL")
    again = write(tmp_path, Settings.load(write(tmp_path, text)).to_toml(), "again.toml")
    monkeypatch.delenv("SPYMASTER_FEED__SYMBOLS__TSLA__RAW_SYMBOL")
    assert Settings.load(again).feed == feed


def test_mistakes_in_the_feed_are_named(tmp_path: Path) -> None:
    said = refused(tmp_path, '[feed.symbols.ES]\nparents = ["ES.FUT"]')
    assert "unknown key feed.symbols.ES.parents; allowed: parent, raw_symbol" in said
    assert "unknown key feed.host; allowed: symbols, gateway" in refused(
        tmp_path, '[feed]\nhost = "x"'
    )
    assert "vault and vault_secret go together" in refused(
        tmp_path, '[feed]\nvault = "https://x.vault.azure.net"'
    )
    assert "backoff_first_s 9 is above" in refused(
        tmp_path, "[feed]\nbackoff_first_s = 9\nbackoff_longest_s = 3"
    )
