"""The version of the SDK, which an adapter image reports in its inspection."""

VERSION = "0.1.0"
