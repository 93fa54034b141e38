/* SPDX-License-Identifier: Apache-2.0
 * The doors to outbox and quarantine while no room keeps them: both are full, always. */
#include <errno.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/log.h"
#include "relay/path.h"
#include "relay/rooms.h"

struct refusal {
	struct ev_timer timer;
	struct export *room;
	struct spill *spill;
};

static void on_answer(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	(void)loop, (void)revents;
	struct refusal *a = w->data;
	a->spill->rc = BOX_FULL;
	sender_on_spilled(a->room->senders[a->spill->exporter], a->spill);
	free(a);
}

void path_spill(struct export *room, struct spill *s)
{
	struct refusal *a = malloc(sizeof(*a));
	if (a == NULL) {
		fail(-ENOMEM, "export: cannot answer");
		_Exit(EX_OSERR);
	}
	a->room = room;
	a->spill = s;
	ev_timer_init(&a->timer, on_answer, 0., 0.);
	a->timer.data = a;
	ev_timer_start(room->room.loop, &a->timer);
}

void path_seal(struct export *room, unsigned exporter, int box)
{
	(void)room, (void)exporter, (void)box;
}

int path_parcel(struct export *room, unsigned exporter, int box, uint64_t id, struct parcel *p)
{
	(void)room, (void)exporter, (void)box, (void)id, (void)p;
	return BOX_NONE;
}

void path_parcel_done(struct export *room, unsigned exporter, int box, uint64_t id)
{
	(void)room, (void)exporter, (void)box, (void)id;
}
