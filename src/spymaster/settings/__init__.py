"""What a person may set: sections of values, each with a default, and one object of them all."""

from spymaster.settings.alerts import AlertsSettings, RuleSettings, WebhookSettings
from spymaster.settings.bus import BusSettings, EmbeddedBusSettings, KafkaSettings
from spymaster.settings.dashboard import DashboardSettings
from spymaster.settings.feed import FeedSettings, SymbolSettings
from spymaster.settings.learning import BacktestSettings, GateSettings, MlSettings, SplitSettings
from spymaster.settings.market import ApproachSettings, UnderlierSettings, WindowSettings
from spymaster.settings.scoring import EndpointSettings, ScoringSettings
from spymaster.settings.serving import ServingSettings
from spymaster.settings.settings import Settings
from spymaster.settings.sources import CONFIG_FILE, CONFIG_VARIABLE
from spymaster.settings.spark import SparkSettings

__all__ = [
    "CONFIG_FILE",
    "CONFIG_VARIABLE",
    "AlertsSettings",
    "ApproachSettings",
    "BacktestSettings",
    "BusSettings",
    "DashboardSettings",
    "EmbeddedBusSettings",
    "EndpointSettings",
    "FeedSettings",
    "GateSettings",
    "KafkaSettings",
    "MlSettings",
    "RuleSettings",
    "ScoringSettings",
    "ServingSettings",
    "Settings",
    "SparkSettings",
    "SplitSettings",
    "SymbolSettings",
    "UnderlierSettings",
    "WebhookSettings",
    "WindowSettings",
]
