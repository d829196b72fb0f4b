/* The probe: runs as a container's program and says, as JSON, what it sees and what happens when it tries something.
 * It knows nothing of any expectation. Each action of its command line gives one line on standard output. */
#ifndef PROBE_H
#define PROBE_H

#include <stdbool.h>
#include <stddef.h>

/* json.c: writes one document at a time; commas are put where they belong. A name may be NULL inside an array. */
void json_open(const char *name, char bracket);
void json_close(char bracket);
void json_text(const char *name, const char *value);
void json_bytes(const char *name, const char *value, size_t length);
void json_number(const char *name, long long value);
void json_unsigned(const char *name, unsigned long long value);
void json_bool(const char *name, bool value);
void json_null(const char *name);
void json_errno(int number); /* "error": the constant's name, or null for 0 */
void json_flush(void);       /* ends the line, writes it whole */

/* files.c: raw text and listings */
void json_file(const char *name, const char *path); /* the file's text, or null */
void json_link(const char *name, const char *path); /* where a link points to, or null */
void json_stat(const char *path);                   /* members of the object that is open */

/* An action: reads its words (count without its own name) and writes members into the object that is open. */
typedef void action_function(int count, char **words);

struct action {
    const char *name;
    int least; /* words that it needs */
    action_function *run;
};

/* Each file of actions ends with an entry without a name. */
extern const struct action facts_actions[];
extern const struct action file_actions[];
extern const struct action process_actions[];
extern const struct action hook_actions[];
extern const struct action mount_actions[];
extern const struct action identity_actions[];
extern const struct action filter_actions[];

/* struct sched_attr of <linux/sched/types.h>, as long as version 1 */
struct attributes {
    unsigned size, policy;
    unsigned long long flags;
    int nice;
    unsigned priority;
    unsigned long long runtime, deadline, period;
    unsigned least, most;
};

long number(const char *word); /* decimal, hexadecimal with 0x, octal with 0 */

#endif
