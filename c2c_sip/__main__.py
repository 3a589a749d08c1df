"""``python -m c2c_sip``."""

from c2c_sip.cli import main

if __name__ == "__main__":
    main()
