/*
 * fault — the points between two steps of a launch and of an attempt's end. In remorad they do
 * nothing; the tests link another definition, which kills the process at the point that it was
 * told, to show that whoever comes after finds out the truth.
 */
#pragma once

#define FAULT_POINT_LIST(X)                                                                    \
 X(STARTING_APPENDED, "starting_appended")   /* before attempt_starting is committed */        \
 X(STARTING_COMMITTED, "starting_committed") /* nothing is on disk yet but the intention */    \
 X(PREPARED, "prepared")                     /* folders and files are there, no shim */        \
 X(SPAWNED, "spawned")                       /* the shim is a process */                       \
 X(SHIM_BEGUN, "shim_begun")                 /* in the shim: before the lock */                \
 X(SHIM_LOCKED, "shim_locked")               /* in the shim: before shim.json */               \
 X(SHIM_RECORDED, "shim_recorded")           /* in the shim: before it tells the daemon */     \
 X(SHIM_LAUNCHED, "shim_launched")           /* in the shim: the worker runs */                \
 X(SHIM_ENDED, "shim_ended")                 /* in the shim: the worker ended, no exit.json */ \
 X(READY_SEEN, "ready_seen")                 /* before attempt_started is appended */          \
 X(STARTED_COMMITTED, "started_committed")                                                     \
 X(END_SEEN, "end_seen")             /* the shim is gone, nothing is read yet */               \
 X(ENDED_APPENDED, "ended_appended") /* before attempt_ended is committed */                   \
 X(ENDED_COMMITTED, "ended_committed")

enum fault_point {
#define X(constant, name) FAULT_POINT_##constant,
    FAULT_POINT_LIST(X)
#undef X
};

void fault_point(enum fault_point point);
