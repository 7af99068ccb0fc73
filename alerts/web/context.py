"""What the pages and the API work with."""

from dataclasses import dataclass

from alerts.access.entrance import Entrance
from alerts.access.gate import Identify
from alerts.access.trail import Views
from alerts.audit import Auditor
from alerts.broker import Reception
from alerts.channels.push import PushService
from alerts.circuits import Circuits
from alerts.desk import Desk
from alerts.links import LinkSigner
from alerts.metrics import AlertMetrics
from alerts.pacs import PacsLink
from alerts.plan import Plan
from alerts.ports import Clock, Stop
from alerts.recipients import Recipients
from alerts.store.database import Database
from alerts.store.gallery import Gallery
from monitoring.health import Health
from streams.contracts.identities import IdentityCipher


@dataclass(frozen=True)
class Context:
    database: Database
    clock: Clock
    desk: Desk
    cipher: IdentityCipher | None
    recipients: Recipients | None
    reception: Reception
    metrics: AlertMetrics
    stop: Stop
    signer: LinkSigner
    auditor: Auditor
    identify: Identify
    """Who a request comes from."""
    views: Views
    """Puts on record who looks at studies."""
    entrance: Entrance
    health: Health
    gallery: Gallery
    """The slices to look at."""
    pacs: PacsLink | None = None
    plan: Plan | None = None
    """Who is on call; None where nobody edits it."""
    push: PushService | None = None
    circuits: Circuits | None = None
