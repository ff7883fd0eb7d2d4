/* SPDX-License-Identifier: Apache-2.0 */
/* The RabbitMQ Java client: publish with confirms, consume, close. See README.md. */
import com.rabbitmq.client.*;
import java.math.BigInteger;
import java.security.MessageDigest;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

public class JavaClient {
    static byte[] body(int i) {
        return ("message " + i + " " + "x".repeat(97 * i % 3000)).getBytes();
    }

    public static void main(String[] args) throws Exception {
        int total = Integer.parseInt(args[3]);
        ConnectionFactory factory = new ConnectionFactory();
        factory.setHost(args[0]);
        factory.setPort(Integer.parseInt(args[1]));
        factory.setVirtualHost(args[2]);
        factory.setAutomaticRecoveryEnabled(false);

        Connection connection = factory.newConnection();
        Channel channel = connection.createChannel();
        String queue = channel.queueDeclare("", false, true, false, null).getQueue();
        channel.confirmSelect();
        for (int i = 0; i < total; i++)
            channel.basicPublish("", queue, MessageProperties.PERSISTENT_BASIC, body(i));
        channel.waitForConfirmsOrDie(30000);

        MessageDigest digest = MessageDigest.getInstance("SHA-256");
        CountDownLatch left = new CountDownLatch(total);
        channel.basicQos(10);
        channel.basicConsume(queue, false, new DefaultConsumer(channel) {
            @Override
            public void handleDelivery(String tag, Envelope envelope, AMQP.BasicProperties properties, byte[] content)
                    throws java.io.IOException {
                digest.update(content);
                channel.basicAck(envelope.getDeliveryTag(), false);
                left.countDown();
            }
        });
        if (!left.await(30, TimeUnit.SECONDS))
            throw new IllegalStateException(left.getCount() + " messages did not come");
        channel.close();
        connection.close();
        System.out.printf("ok %d %064x%n", total, new BigInteger(1, digest.digest()));
    }
}
