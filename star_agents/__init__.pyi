from star_agents.client.rows import TailOptions as TailOptions
from star_agents.client.rows import stream_rows as stream_rows
from star_agents.core.errors import ConfigError as ConfigError
from star_agents.core.errors import StarError as StarError
from star_agents.interface import RunOptions as RunOptions
from star_agents.interface import RunResult as RunResult
from star_agents.interface import Scored as Scored
from star_agents.interface import ScoreOptions as ScoreOptions
from star_agents.interface import arun as arun
from star_agents.interface import ascore as ascore
from star_agents.interface import run as run
from star_agents.interface import score as score

__version__: str
