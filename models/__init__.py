"""Networks: palette encoder, text, UNet, denoisers; nothing here knows a process."""
