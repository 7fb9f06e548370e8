#include "batching/prefix_store.h"
