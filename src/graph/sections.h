// Sections: a pass as several programs, one for each part of the model (a layer) that it goes
// through, so that weights need be in memory only around their section, and gradients only until
// they were taken away behind it.
#ifndef TV_GRAPH_SECTIONS_H
#define TV_GRAPH_SECTIONS_H

#include "graph/graph.h"

// A tensor of the whole weight's or gradient's shape and type that takes its place in one section.
typedef struct tv_stand_in {
    tv_tensor *whole, *here;
} tv_stand_in;

// Of weights: the section reads them, and they may be written from the start of the section before
// it on. Of gradients: the section makes them, from nothing, and they may be read until the end of
// the section behind it.
typedef struct tv_section {
    uint32_t phase;
    tv_stand_in *weights, *gradients;
    size_t weight_count, gradient_count;
} tv_section;

typedef struct tv_sections {
    tv_section *all;
    size_t count;
} tv_sections;

// Cuts what the current phase consists of, the nodes from number `first` on, into sections: they
// follow one another, in the current phase and new ones. Weights and gradients that are sharded
// stand in no node then; stand-ins do. The sections live in the graph's arena.
void tv_graph_cut(tv_graph *graph, size_t first, tv_sections *sections);

#endif
