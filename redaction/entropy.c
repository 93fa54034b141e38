/* SPDX-License-Identifier: Apache-2.0 */
#include "redaction/entropy.h"

#include <math.h>

double entropy_bits(struct slice text)
{
	uint32_t counts[256] = {0};
	double sum = 0;
	if (text.len == 0)
		return 0;
	for (size_t i = 0; i < text.len; i++)
		counts[text.data[i]]++;
	for (size_t i = 0; i < 256; i++)
		if (counts[i] != 0)
			sum += counts[i] * log2(counts[i]);
	double bits = log2((double)text.len) - sum / (double)text.len;
	return bits > 0 ? bits : 0; /* never -0.0 */
}
