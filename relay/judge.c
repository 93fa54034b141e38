/* SPDX-License-Identifier: Apache-2.0
 * The judge room: which traces are kept. In this version every one: a block goes on as it came. */
#include "relay/rooms.h"

static void on_mail(void *ctx, struct mail *m)
{
	struct judge *j = ctx;
	room_answer(&j->relay->export.room, m);
}

static const struct room_rules RULES = {"judge", 4096, on_mail, NULL};

int judge_open(struct judge *j, struct relay *relay)
{
	j->relay = relay;
	return room_init(&j->room, &RULES, j);
}

void judge_close(struct judge *j)
{
	room_stop(&j->room);
	room_finish(&j->room);
}
