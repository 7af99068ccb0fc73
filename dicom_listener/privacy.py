"""Silences the libraries that quote what they read. Values of a data set may be a patient's.

Kafka's client quotes nothing, but says ten lines a second while a broker is away; the publisher says it once.
"""

import logging
import warnings

from pydicom import config as pydicom_config
from pynetdicom import _config as pynetdicom_config

TALKATIVE = ("pydicom", "pynetdicom", "kafka")
SILENT = logging.CRITICAL + 1


def silence_libraries() -> None:
    """No values in logs or warnings, no data sets in temporary files. For this process; call before any traffic."""
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(SILENT)
    warnings.simplefilter("ignore")
    pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE
    pynetdicom_config.LOG_HANDLER_LEVEL = "none"
    pynetdicom_config.LOG_REQUEST_IDENTIFIERS = pynetdicom_config.LOG_RESPONSE_IDENTIFIERS = False
    pynetdicom_config.STORE_RECV_CHUNKED_DATASET = False
    pynetdicom_config.ENFORCE_UID_CONFORMANCE = False  # checked by us: a bad UID costs its object, not the association
