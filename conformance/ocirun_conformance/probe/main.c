/* probe [ACTION [WORD...] [-- ACTION...]]: does one action after the other, each gives one line of JSON. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "probe.h"

int argument_count;
char **argument_words;

static const struct action *const tables[] = {
    facts_actions, file_actions, process_actions, hook_actions, mount_actions, identity_actions, filter_actions,
};

long number(const char *word) { return strtol(word, NULL, 0); }

static const struct action *find(const char *name) {
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const struct action *each = tables[i]; each->name != NULL; each++)
            if (strcmp(each->name, name) == 0)
                return each;
    return NULL;
}

int main(int argc, char **argv) {
    argument_count = argc;
    argument_words = argv;
    for (int at = 1; at < argc;) {
        int end = at;
        while (end < argc && strcmp(argv[end], "--") != 0)
            end++;
        const struct action *action = find(argv[at]);
        if (action == NULL || end - at - 1 < action->least)
            return 125;
        json_open(NULL, '{');
        json_text("action", argv[at]);
        action->run(end - at - 1, argv + at + 1);
        json_close('}');
        json_flush();
        at = end + 1;
    }
    return 0;
}
