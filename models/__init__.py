"""Networks: palette encoder, UNet, denoisers; nothing here knows a process."""
