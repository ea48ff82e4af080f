"""Where events come from: Event Hubs over AMQP, its Kafka endpoint, or files."""
