"""`python -m star_agents` is `star-agents`."""

from star_agents.cli.main import main

if __name__ == "__main__":
    main()
