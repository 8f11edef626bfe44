"""Whether a start begins a run, goes on with one, or is at the wrong folder."""

from star_agents.core.errors import RunExistsError
from star_agents.service.run.job import Inputs, Job
from star_agents.service.run.pool_resume import same_run
from star_agents.storage.filesystem import check_local
from star_agents.storage.integrity import examine
from star_agents.storage.migration import adopt, migrate
from star_agents.storage.rebuild import rebuild
from star_agents.storage.recovery import read_standing


def check_folder(job: Job, inputs: Inputs) -> Inputs:
    """The inputs to start with. Blocks.

    One folder never holds two runs, and one in which nothing was planned yet is no run. A run of an earlier version
    that is to be gone on with is brought up to date; lost files of finished rows come back where a copy has them.

    Raises:
        RunExistsError: a run is there and nobody said to go on with it.
        ConfigError: it is another run, with one line for each setting that differs; or the folder is on no local disk.
        StoreError: it is damaged.
    """
    check_local(job.folder.path)
    if job.folder.is_begun():
        examine(job.folder.database)
    if not job.folder.is_begun():  # or was, by a start that was killed in the act
        return inputs
    if job.resume:
        migrate(job.folder.database)
        rebuild(job.folder.database)
    standing = read_standing(job.folder.database)
    if standing.next_seed == 0:
        job.folder.forget()
        return inputs
    if not job.resume:
        raise RunExistsError(
            f"{job.folder.path} holds a run ({standing.finished} of {inputs.num_seeds} seeds done): "
            "add --resume to go on with it, or name another run.dir"
        )
    inputs = same_run(standing, job.settings, inputs)
    if standing.manifest.fingerprint != inputs.manifest.fingerprint:
        adopt(job.folder.database, inputs.manifest)  # the same run, told in other keys, or with the pool of today
    return inputs
