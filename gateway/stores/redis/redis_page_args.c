#include "gateway/stores/redis/redis_page_args.h"

void redis_page_args_write(const struct store_page *page, struct span wishes,
                           struct redis_page_args *args, struct span ret_words[REDIS_PAGE_ARGS])
{
    const struct span words[REDIS_PAGE_ARGS] = {
        page->from_acked ? SPAN_LITERAL("") : redis_number_write(&args->after, page->after),
        redis_epoch_text(&page->after_epoch),
        redis_number_write(&args->count, page->max_count > 0 ? page->max_count : 1),
        redis_number_write(&args->bytes, page->max_bytes),
        redis_number_write(&args->head, page->known_head),
        redis_epoch_text(&page->known_epoch),
        redis_epoch_text(&args->fresh),
        page->device,
        wishes,
        redis_number_write(&args->time, page->known_time),
    };
    memcpy(ret_words, words, sizeof words);
}
