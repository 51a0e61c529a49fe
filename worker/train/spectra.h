/*
 * spectra — evaluate.spectrum: how many singular values of ΔW are above 0.1, at an evaluation.
 *
 * ΔW is against the weights of step 0, which the run's first checkpoint has. Counts by sketch
 * (worker/eval/spectrum.h), per projection, averaged over layers. Rank 0 alone.
 */
#pragma once

#include "proto/base/error.h"
#include "worker/train/trainer.h"

/* counts[LINEAR_COUNT]; zeros at step 0. */
MUST_USE enum status spectra_count(const struct trainer *trainer, double *counts,
                                   struct error *err);
