#include "server/api_error.h"
