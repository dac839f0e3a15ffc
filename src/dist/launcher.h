// The process that started this rank: a rank does not outlive it, and a job that is over does not
// leave it hanging.
#ifndef TV_DIST_LAUNCHER_H
#define TV_DIST_LAUNCHER_H

// Ends this process within a second once the launcher, or a process between the two, has ended
// (mpirun was killed: Open MPI leaves ranks running then). At most once; threads that are gone
// before the process ends do not matter.
void tv_launcher_guard(void);

// For a rank that is about to end because another was lost. Open MPI's mpirun and orted wait for
// hosts that they cannot reach any more: a process of its own ends them, if they still run seconds
// later. MPICH's mpiexec ends the ranks of all hosts where one dies of a signal: so does this one.
// Other launchers are left alone.
void tv_launcher_dismiss(void);

#endif
