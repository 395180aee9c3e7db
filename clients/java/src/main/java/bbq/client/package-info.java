/** The Java client of BBQ, a durable message queue. {@link bbq.client.Client} is where to begin. */
package bbq.client;
