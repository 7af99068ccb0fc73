"""Errors of the front door. Each is shown to a person as one clear sentence; the process then ends with 1.

TocsinError
├── KafkaUnavailable   the embedded broker cannot be had or does not come up
│   ├── JavaMissing    no Java runtime
│   └── KafkaDownloadFailed  Kafka's jars are not there and cannot be fetched
├── PortTaken          an address we were told to use belongs to another process
├── DataDirectoryInUse another Tocsin runs on the same data directory
├── ServiceFailed      a service did not become ready
├── NodeNotRunning     a command needs a running node, and there is none
├── NoHeartbeatStudy   the model finds no bleed in any head of the dead-man's study
├── ScannerFailed      an association could not be made, or the peer refused objects
├── BackupRefused      a backup of the alert store is damaged, or none
└── BadRequest         an argument that makes no sense
"""


class TocsinError(Exception):
    """Root of this tree; its text is what the user reads."""


class KafkaUnavailable(TocsinError):
    pass


class JavaMissing(KafkaUnavailable):
    pass


class KafkaDownloadFailed(KafkaUnavailable):
    pass


class PortTaken(TocsinError):
    pass


class DataDirectoryInUse(TocsinError):
    pass


class ServiceFailed(TocsinError):
    pass


class NodeNotRunning(TocsinError):
    pass


class ScannerFailed(TocsinError):
    pass


class NoHeartbeatStudy(TocsinError):
    pass


class BackupRefused(TocsinError):
    pass


class BadRequest(TocsinError):
    pass
